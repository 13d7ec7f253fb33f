"""Names of the benign oddities, and which one an ordinary session belongs to."""

from __future__ import annotations

from tuning.synthetic.devices import Device
from tuning.synthetic.geography import TUNNEL_ASNS, Place
from tuning.synthetic.people import User

BROWSER_UPDATE = "browser_update"
CONSUMER_VPN = "consumer_vpn"
DEADLINE = "deadline"
FORGOTTEN_PASSWORD = "forgotten_password"
MISSED_PROMPT = "missed_prompt"
MONTH_END = "month_end"
NEW_DEVICE = "new_device"
NEW_HIRE = "new_hire"
NEW_PHONE = "new_phone"
NEW_PROJECT = "new_project"
NEW_VPN = "new_vpn"
NIGHT_SHIFT = "night_shift"
OFFICE_MOVE = "office_move"
REORGANISATION = "reorganisation"
RETURN_FROM_LEAVE = "return_from_leave"
ROAMING_SESSION = "roaming_session"
SERVICE_ADMIN = "service_admin"
SHARED_EGRESS = "shared_egress"
STALE_PHONE = "stale_phone"
TRAVELLER = "traveller"

NEW_DEVICE_DAYS = 3
NEW_HIRE_DAYS = 10
RETURN_DAYS = 3
NIGHT_STARTS_H, NIGHT_ENDS_H = 22.0, 6.0


def circumstance(user: User, device: Device, place: Place, at: float, day: int) -> str:
    """What is unusual about an ordinary session, the more telling cause first; mostly nothing.

    `at` is its beginning in seconds since 1970, `day` the day of the period.
    """
    if user.trip_at(at) is not None:
        return TRAVELLER
    if place.asn in TUNNEL_ASNS:
        return CONSUMER_VPN
    if 0 <= device.first_day <= day < device.first_day + NEW_DEVICE_DAYS:
        return NEW_PHONE if device.is_phone else NEW_DEVICE
    if 0 <= user.first_day <= day < user.first_day + NEW_HIRE_DAYS:
        return NEW_HIRE
    if any(after <= day < after + RETURN_DAYS for _, after in user.absences):
        return RETURN_FROM_LEAVE
    hour = user.local_hour(at)
    if user.rhythm.hours_outside(hour) == 0 and not NIGHT_ENDS_H <= hour < NIGHT_STARTS_H:
        return NIGHT_SHIFT
    return ""
