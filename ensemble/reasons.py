"""``REASONS``: every reason an event can be suspicious for, in an analyst's words.

A reason is made from the features that carry its code (preprocessing/features.py) and from the
:class:`preprocessing.history.Evidence` of the event. Its weight is how far those features lie
beyond what is ordinary in this tenant, as a share of all of the event's decades.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import NDArray

from ensemble import chains, telling
from ensemble.verdict import Reason
from preprocessing.features import FEATURES
from preprocessing.history import Evidence

#: Decades beyond the commonplace below which a value is no reason: one event in thirty has it.
LEAST_TOLD = 0.5
#: Most reasons shown, and the least share of the decades that earns a place.
MOST_REASONS = 5
LEAST_WEIGHT = 0.05


@dataclass(frozen=True, slots=True)
class ReasonCode:
    """One reason: MITRE ATT&CK technique, what to do next, and how it is told.

    ``tell`` gives (text, observed, usual) from the evidence.
    """

    attack: str
    runbook: str
    tell: Callable[[Evidence], telling.Told]


REASONS: dict[str, ReasonCode] = {
    "impossible_travel": ReasonCode(
        "T1078", "Ask the user; revoke sessions if they are elsewhere.", telling.travel
    ),
    "unusual_country": ReasonCode(
        "T1078", "Check for leave or travel; ask the user.", telling.country
    ),
    "unusual_network": ReasonCode(
        "T1078", "Look up the address; is it a new office, VPN or carrier?", telling.network
    ),
    "unusual_device": ReasonCode(
        "T1078", "Was a device replaced? If not, revoke its sessions.", telling.device
    ),
    "off_hours_login": ReasonCode(
        "T1078", "Check duty roster and what was opened next.", telling.hours
    ),
    "dormant_account": ReasonCode(
        "T1078", "Is the account still needed? Disable it if not.", telling.dormant
    ),
    "unusual_rate": ReasonCode(
        "T1078", "Look for a script or a stolen session behind the burst.", telling.rate
    ),
    "large_data_transfer": ReasonCode(
        "T1048", "Find what was copied and where it went.", telling.transfer
    ),
    "large_data_volume": ReasonCode(
        "T1030", "Add up what was copied over the week, and where it went.", chains.volume
    ),
    "many_new_resources": ReasonCode(
        "T1021", "List what this user opened lately; is there a new task?", chains.new_resources
    ),
    "new_device_elsewhere": ReasonCode(
        "T1078", "Call the user: a new device, and where? If not theirs, reset and revoke.",
        chains.new_device_elsewhere,
    ),
    "unproven_device": ReasonCode(
        "T1078", "Call the user: is this device theirs? If not, revoke its sessions and reset.",
        chains.unproven_device,
    ),
    "scattered_resources": ReasonCode(
        "T1213", "List what this user opened lately: is there one task behind it?",
        chains.scattered_resources,
    ),
    "factor_changed": ReasonCode(
        "T1098.005", "Who asked for the new factor? Remove it unless the user confirms.",
        chains.factor_changed,
    ),
    "off_hours_transfer": ReasonCode(
        "T1048", "Find what was copied and where it went; was the user at work?",
        chains.off_hours_transfer,
    ),
    "service_interactive": ReasonCode(
        "T1078.004", "Who used it, from whose machine? Change its secret if nobody owns up.",
        chains.service_interactive,
    ),
    "session_moved": ReasonCode(
        "T1550.004", "Revoke the session; was its token copied?", chains.session
    ),
    "unusual_resource_access": ReasonCode(
        "T1021", "Does the user's role need this resource?", telling.resource
    ),
    "multiple_failed_logins": ReasonCode(
        "T1110.001", "Lock or step up; was there a success afterwards?", telling.failures
    ),
    "failures_from_address": ReasonCode(
        "T1110", "Block the address; list the accounts it tried.", telling.address_failures
    ),
    "password_spraying": ReasonCode(
        "T1110.003", "Block the address; reset accounts that succeeded.", telling.spraying
    ),
    "brute_force_success": ReasonCode(
        "T1110", "Treat the account as compromised: revoke and reset.", telling.brute_force
    ),
    "unknown_user": ReasonCode(
        "T1110", "A guessed name, or somebody new? Check with HR.", telling.unknown_user
    ),
    "unusual_method": ReasonCode(
        "T1078", "Why was the usual way in not used?", telling.method
    ),
    "unusual_mfa": ReasonCode(
        "T1556.006", "Was the second factor removed, bypassed or newly enrolled?", telling.mfa
    ),
    "known_attacker": ReasonCode(
        "T1078", "Was the access cut off? If this is the user again, mark the event safe.",
        telling.known_attacker,
    ),
    "unusual_combination": ReasonCode(
        "T1078", "Ask for the explanation of this event: it weighs every feature.",
        telling.combination,
    ),
    "mfa_fatigue": ReasonCode(
        "T1621", "Call the user; reset the password, the attacker has it.", telling.mfa_denials
    ),
}  # fmt: skip

#: Told when no single feature stands out.
COMBINATION = "unusual_combination"
#: Told of the events of an attacker whom an analyst has found.
KNOWN_ATTACKER = "known_attacker"
_CODES: tuple[str, ...] = tuple(dict.fromkeys(feature.reason for feature in FEATURES))
_CODE_OF: NDArray[np.intp] = np.array([_CODES.index(f.reason) for f in FEATURES], np.intp)


def weights(decades: NDArray[np.float32]) -> list[tuple[str, float]]:
    """Reason codes of one event by weight, largest first; weights sum to 1 before the cut."""
    by_code = np.zeros(len(_CODES))
    np.add.at(by_code, _CODE_OF, np.where(decades >= LEAST_TOLD, decades, 0.0))
    total = float(by_code.sum())
    if total <= 0.0:
        return []
    order = np.argsort(-by_code, kind="stable")[:MOST_REASONS]
    ranked = [(_CODES[index], float(by_code[index]) / total) for index in order]
    return [(code, weight) for code, weight in ranked if weight >= LEAST_WEIGHT]


def reasons(decades: NDArray[np.float32], evidence: Evidence) -> tuple[Reason, ...]:
    """The reasons of one event, by weight; ``COMBINATION`` if nothing stands out by itself."""
    told = []
    for code, weight in weights(decades) or [(COMBINATION, 1.0)]:
        reason = REASONS[code]
        text, observed, usual = reason.tell(evidence)
        told.append(Reason(code, text, observed, usual, reason.attack, floor(weight * 1e4) / 1e4))
    return tuple(told)
