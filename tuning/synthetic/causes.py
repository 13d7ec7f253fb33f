"""Names of the benign oddities, and which one an ordinary session belongs to."""

from __future__ import annotations

from tuning.synthetic.devices import Device
from tuning.synthetic.people import User

MONTH_END = "month_end"
NEW_DEVICE = "new_device"
NEW_HIRE = "new_hire"
NEW_PHONE = "new_phone"
NIGHT_SHIFT = "night_shift"
STALE_PHONE = "stale_phone"
TRAVELLER = "traveller"

NEW_DEVICE_DAYS = 3
NEW_HIRE_DAYS = 10
NIGHT_STARTS_H, NIGHT_ENDS_H = 22.0, 6.0


def circumstance(user: User, device: Device, at: float, day: int) -> str:
    """What is unusual about an ordinary session, the more telling cause first; mostly nothing.

    `at` is its beginning in seconds since 1970, `day` the day of the period.
    """
    if user.trip_at(at) is not None:
        return TRAVELLER
    if 0 <= device.first_day <= day < device.first_day + NEW_DEVICE_DAYS:
        return NEW_PHONE if device.is_phone else NEW_DEVICE
    if 0 <= user.first_day <= day < user.first_day + NEW_HIRE_DAYS:
        return NEW_HIRE
    hour = user.local_hour(at)
    if user.rhythm.hours_outside(hour) == 0 and not NIGHT_ENDS_H <= hour < NIGHT_STARTS_H:
        return NIGHT_SHIFT
    return ""
