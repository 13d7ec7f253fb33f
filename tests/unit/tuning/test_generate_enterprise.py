"""What `enterprise` promises: every campaign type and every benign cause, often enough."""

from collections import defaultdict
from datetime import datetime
from pathlib import Path

import pytest

from tuning.generate import SCENARIOS, Generated, generate
from tuning.synthetic import causes
from tuning.synthetic.writer import Row

HARD = {
    "dormant_account",
    "factor_reset",
    "lateral_movement",
    "low_and_slow_insider",
    "off_hours_bulk_transfer",
    "quiet_takeover",
    "token_replay",
}
EASY = {
    "account_takeover",
    "brute_force",
    "credential_stuffing",
    "mfa_fatigue",
    "password_spraying",
    "service_account_misuse",
}
LATER_ONLY = {
    causes.BROWSER_UPDATE,
    causes.NEW_VPN,
    causes.OFFICE_MOVE,
    causes.REORGANISATION,
}
ALL_CAUSES = {
    value for name, value in vars(causes).items() if name.isupper() and isinstance(value, str)
}


@pytest.fixture(scope="module")
def enterprise() -> Generated:
    return generate("enterprise", events=50_000, seed=7)


@pytest.fixture(scope="module")
def campaigns(enterprise: Generated) -> dict[str, list[Row]]:
    """Events by campaign id."""
    out: dict[str, list[Row]] = defaultdict(list)
    for event, label in zip(enterprise.events, enterprise.labels, strict=True):
        if label["campaign_id"]:
            out[str(label["campaign_id"])].append(event)
    return out


def _of(campaigns: dict[str, list[Row]], kind: str) -> list[list[Row]]:
    found = [events for name, events in campaigns.items() if name.startswith(f"{kind}-")]
    assert found
    return found


def _time(event: Row) -> float:
    return datetime.fromisoformat(str(event["timestamp"])).timestamp()


def _before(generated: Generated, event: Row) -> list[Row]:
    """The user's ordinary events before this one."""
    at = _time(event)
    rows = zip(generated.events, generated.labels, strict=True)
    mine = (e for e, label in rows if e["user_id"] == event["user_id"] and not label["is_anomaly"])
    return [e for e in mine if _time(e) < at]


def test_half_a_percent_in_campaigns_of_one_type_each(
    enterprise: Generated, campaigns: dict[str, list[Row]]
) -> None:
    assert sum(int(label["is_anomaly"]) for label in enterprise.labels) == 250
    types: dict[str, set[str]] = defaultdict(set)
    for label in enterprise.labels:
        if label["campaign_id"]:
            types[str(label["campaign_id"])].add(str(label["anomaly_type"]))
    assert all(len(kinds) == 1 for kinds in types.values())
    assert set().union(*types.values()) == EASY | HARD
    assert len(campaigns) >= 14


def test_every_cause_is_there_often_and_only_on_ordinary_events(enterprise: Generated) -> None:
    user_days: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for event, label in zip(enterprise.events, enterprise.labels, strict=True):
        assert not (label["is_anomaly"] and label["cause"])
        user_days[str(label["cause"])].add((str(event["user_id"]), str(event["timestamp"])[:10]))
    assert set(user_days) == {"", *ALL_CAUSES - LATER_ONLY}
    assert {name: len(days) for name, days in user_days.items() if len(days) < 30} == {}


def test_a_replayed_token_belongs_to_an_earlier_session_in_another_place(
    enterprise: Generated, campaigns: dict[str, list[Row]]
) -> None:
    for events in _of(campaigns, "token_replay"):
        first = min(events, key=_time)
        (session,) = {event["session_id"] for event in events}
        own = [e for e in _before(enterprise, first) if e.get("session_id") == session]
        assert own
        assert {e.get("source_ip") for e in own}.isdisjoint({first["source_ip"]})
        assert all(event["action"] != "login" for event in events)


def test_a_dormant_account_was_used_before_and_then_not_for_two_weeks(
    enterprise: Generated, campaigns: dict[str, list[Row]]
) -> None:
    for events in _of(campaigns, "dormant_account"):
        first = min(events, key=_time)
        last = max(map(_time, _before(enterprise, first)))
        assert _time(first) - last > 13 * 86_400


def test_lateral_movement_opens_resources_new_to_the_account(
    enterprise: Generated, campaigns: dict[str, list[Row]]
) -> None:
    for events in _of(campaigns, "lateral_movement"):
        known = {e.get("resource") for e in _before(enterprise, min(events, key=_time))}
        opened = {event["resource"] for event in events}
        assert len(opened) >= 4
        assert len(opened - known) >= 0.7 * len(opened)


def test_an_insider_uses_known_devices_on_several_days(
    enterprise: Generated, campaigns: dict[str, list[Row]]
) -> None:
    for events in _of(campaigns, "low_and_slow_insider"):
        first = min(events, key=_time)
        own = {e.get("device_id") for e in enterprise.events if e["user_id"] == first["user_id"]}
        assert {event["device_id"] for event in events if "device_id" in event} <= own
        assert len({str(event["timestamp"])[:10] for event in events}) >= 3


def test_a_takeover_has_the_right_password_and_a_device_nobody_has_seen(
    enterprise: Generated, campaigns: dict[str, list[Row]]
) -> None:
    for events in _of(campaigns, "quiet_takeover"):
        known = {e.get("device_id") for e in _before(enterprise, min(events, key=_time))}
        assert {event.get("device_id") for event in events}.isdisjoint(known - {None})
        assert sum(event["outcome"] == "failure" for event in events) < 0.3 * len(events)


def test_a_reset_factor_comes_before_the_access(campaigns: dict[str, list[Row]]) -> None:
    for events in _of(campaigns, "factor_reset"):
        resets = [_time(e) for e in events if e["action"] == "mfa" and e["outcome"] == "success"]
        uses = [_time(e) for e in events if e["action"] in {"access", "transfer"}]
        assert resets
        assert not uses or min(resets) < min(uses)


def test_the_share_of_anomalies_can_be_chosen() -> None:
    generated = generate("enterprise", events=10_000, seed=1, anomaly_share=0.01)
    assert sum(int(label["is_anomaly"]) for label in generated.labels) == 100


def test_the_page_names_every_scenario_campaign_and_cause() -> None:
    page = (Path(__file__).parents[3] / "docs" / "scenarios.md").read_text()
    names = {*SCENARIOS, *HARD, *EASY, *ALL_CAUSES, "slow_ramp", "data_theft"}
    assert {name for name in names if f"`{name}`" not in page} == set()
