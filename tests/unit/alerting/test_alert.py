"""What makes two alerts one, and what an alert is called."""

from __future__ import annotations

from msgspec.structs import replace

from alerting.alert import (
    FAMILIES,
    MOST_LISTED,
    SEVERITY_ORDER,
    alert_id,
    fingerprint,
    listed,
    rank,
    worst,
)
from ensemble.reasons import REASONS
from ensemble.verdict import SEVERITIES
from tests.unit.alerting.making import alert, verdict


def test_a_fingerprint_is_subject_and_family() -> None:
    travel, country = verdict("e1"), verdict("e2", code="unusual_country", score=0.9999)
    device = verdict("e3", code="unusual_device")
    assert fingerprint("user:ann", travel) == fingerprint("user:ann", country)
    assert fingerprint("user:ann", travel) != fingerprint("user:ann", device)
    assert fingerprint("user:ann", travel) != fingerprint("user:bob", travel)


def test_a_fingerprint_never_changes() -> None:
    """It is kept on disk and compared after restarts and updates."""
    assert fingerprint("user:ann", verdict("e1")) == "dd3789aad6001f2a"
    assert alert_id("user:ann", "e1") == "47cab97d6ab44020"


def test_an_event_without_reasons_has_a_fingerprint_too() -> None:
    bare = replace(verdict("e1"), reasons=())
    assert fingerprint("user:ann", bare) == fingerprint("user:ann", replace(bare, event_id="e2"))


def test_every_reason_has_a_family() -> None:
    assert REASONS.keys() <= FAMILIES.keys()


def test_severities_are_those_of_verdicts() -> None:
    assert {severity for _, severity in SEVERITIES} | {"info"} == set(SEVERITY_ORDER)
    assert [rank(severity) for severity in SEVERITY_ORDER] == [0, 1, 2, 3, 4]
    assert worst(["low", "critical", "high"]) == "critical"


def test_lists_are_bounded() -> None:
    names: tuple[str, ...] = ()
    for n in range(2 * MOST_LISTED):
        names = listed(names, f"user-{n}")
    assert len(names) == MOST_LISTED
    assert listed(("ann",), "ann") == ("ann",)
    assert listed((), "") == ()


def test_an_alert_is_called_by_its_user_or_its_address() -> None:
    assert alert(user="ann").who == "ann"
    one = replace(alert(user="ann"), subject="address:203.0.113.9")
    assert one.who == "203.0.113.9 (1 user)"
    many = replace(one, users=tuple(f"u{n}" for n in range(MOST_LISTED)))
    assert many.who == f"203.0.113.9 ({MOST_LISTED}+ users)"
