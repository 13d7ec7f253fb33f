"""Each stage of the pipeline by itself, at times that the test sets."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace

from alerting.alert import MOST_LISTED, WAVE, Alert, Occurrence
from alerting.conditions import Matcher
from alerting.log import Delivery, DeliveryState, Matchers, News, Silence
from alerting.memory_log import MemoryLog
from alerting.notifiers.base import Rejected, Retryable
from alerting.rules import Grouping, Retry, Rules, load
from alerting.stages.admit import Admit
from alerting.stages.base import Notice
from alerting.stages.inhibit import Inhibit
from alerting.stages.rate_limit import RateLimit
from alerting.stages.record import Record
from alerting.stages.retry import Retries
from alerting.stages.route import Routed
from alerting.stages.silence import Silenced
from alerting.stages.window import Window
from tests.unit.alerting.making import ADDRESS, NOW_S, alert, occurrence

DAY_S = 86400.0


def matcher(rules: Rules) -> Matcher:
    return Matcher(rules.groups, rules.times)


# Admit


def admitted(yaml: str, given: Occurrence) -> Occurrence | None:
    rules = load(yaml)
    return Admit(rules, matcher(rules), Counter())(given)


@pytest.mark.parametrize(
    ("own", "severity", "score", "left"),
    [
        ("{score: 0.9995}", "high", 0.9994, None),
        ("{score: 0.9995}", "high", 0.9995, "high"),
        ("{severity: medium}", "low", 0.999, None),
        ("{severity: medium}", "medium", 0.999, "medium"),
        ("{at_least: high}", "low", 0.999, "high"),
        ("{at_most: medium}", "critical", 0.999, "medium"),
        ("{at_least: medium, at_most: high}", "critical", 0.999, "high"),
    ],
)
def test_thresholds_hold_for_the_main_reason(
    own: str, severity: Any, score: float, left: str | None
) -> None:
    yaml = f"reasons: {{impossible_travel: {own}}}"
    kept = admitted(yaml, occurrence("e1", severity=severity, score=score))
    assert (kept.severity if kept is not None else None) == left
    other = admitted(yaml, occurrence("e1", code="unusual_device", severity=severity, score=score))
    assert other is not None
    assert other.severity == severity


def test_a_success_after_guessing_is_severe_whatever_else_is_strange() -> None:
    first = occurrence("e1", code="unusual_device", severity="low")
    guessed = occurrence("e2", code="brute_force_success").verdict.reasons
    both = replace(first.verdict, reasons=(*first.verdict.reasons, *guessed))
    kept = admitted("", replace(first, verdict=both))
    assert kept is not None
    assert kept.severity == "high"
    calmer = admitted("reasons: {brute_force_success: {}}", replace(first, verdict=both))
    assert calmer is not None
    assert calmer.severity == "low"


def test_rules_are_applied_in_order() -> None:
    yaml = """
    groups: {services: ["svc-*"]}
    rules:
      - {name: louder, when: {users: [ann]}, severity: critical}
      - {name: services, when: {groups: [services], reasons: [impossible_travel]}, drop: true}
      - {name: calmer, when: {severity_at_least: critical}, severity: medium}
    """
    kept = admitted(yaml, occurrence("e1", "ann", severity="low"))
    assert kept is not None
    assert kept.severity == "medium"
    assert admitted(yaml, occurrence("e1", "svc-backup")) is None
    assert admitted(yaml, occurrence("e1", "svc-backup", code="unusual_device")) is not None


def test_rules_about_time_ask_when_the_event_happened() -> None:
    yaml = """
    times: {night: {from: "22:00", until: "06:00"}}
    rules: [{name: backups, when: {during: night}, drop: true}]
    """
    assert admitted(yaml, occurrence("e1", at_s=NOW_S)) is not None  # 08:00
    assert admitted(yaml, occurrence("e1", at_s=NOW_S - 3 * 3600)) is None  # 05:00


def test_what_is_dropped_is_counted_by_rule() -> None:
    rules = load("""
    reasons: {unusual_device: {severity: high}}
    rules: [{name: quiet, when: {users: [ann]}, drop: true}]
    """)
    dropped: Counter[str] = Counter()
    admit = Admit(rules, matcher(rules), dropped)
    admit(occurrence("e1", "ann"))
    admit(occurrence("e2", "bob", code="unusual_device", severity="low"))
    assert dropped == {"rules.quiet": 1, "reasons.unusual_device": 1}


# Silence, inhibit, window


def considered(stage: Any, made: Alert, now_s: float = NOW_S) -> str:
    notice: Notice = asyncio.run(stage(Notice(made), now_s))
    return notice.held


def silenced(made: Alert, now_s: float = NOW_S, **matchers: Any) -> str:
    log = MemoryLog()
    silence = Silence(
        silence_id="s1", matchers=Matchers(**matchers), from_s=NOW_S, until_s=NOW_S + 60,
        created_by="bob", comment="why",
    )  # fmt: skip
    asyncio.run(log.silence(silence))
    return considered(Silenced(log, Matcher({}, {})), made, now_s)


def test_a_silence_holds_what_it_covers_while_it_lasts() -> None:
    assert silenced(alert(user="ann"), users=("an*",)) == "silenced: s1"
    assert silenced(alert(user="bob"), users=("an*",)) == ""
    assert silenced(alert(user="ann"), users=("an*",), now_s=NOW_S - 1) == ""
    assert silenced(alert(user="ann"), users=("an*",), now_s=NOW_S + 60) == ""


@pytest.mark.parametrize(
    ("matchers", "held"),
    [
        ({"reasons": ("impossible_travel",)}, True),
        ({"reasons": ("unusual_device",)}, False),
        ({"addresses": ("203.0.113.0/24",)}, True),
        ({"addresses": ("198.51.100.0/24",)}, False),
        ({"severity_below": "critical"}, True),
        ({"severity_below": "high"}, False),
        ({"users": ("ann",), "reasons": ("unusual_device",)}, False),
    ],
)
def test_a_silence_covers_what_all_its_matchers_cover(matchers: Any, held: bool) -> None:
    assert bool(silenced(alert(user="ann"), **matchers)) == held


def test_silencing_one_user_does_not_silence_an_attack_on_many() -> None:
    spray = replace(alert(user="ann"), users=("ann", "bob"))
    assert silenced(spray, users=("ann",)) == ""
    assert silenced(spray, users=("ann", "bob")) == "silenced: s1"


def test_silencing_one_reason_does_not_silence_another() -> None:
    night = replace(alert(code="off_hours_login"), reasons={"off_hours_login": 2})
    worse = replace(night, reasons={"off_hours_login": 2, "brute_force_success": 1})
    assert silenced(night, reasons=("off_hours_login",)) == "silenced: s1"
    assert silenced(worse, reasons=("off_hours_login",)) == ""


def test_an_address_is_silenced_however_many_it_tries() -> None:
    users = tuple(f"user-{n}" for n in range(MOST_LISTED))
    scan = replace(alert(), users=users)
    assert silenced(scan, addresses=(ADDRESS,)) == "silenced: s1"
    assert silenced(scan, users=("user-*",)) == ""  # who else was tried is not listed


def inhibited(cover: Alert | None, made: Alert) -> str:
    log = MemoryLog()
    if cover is not None:
        asyncio.run(log.join([cover], []))
    return considered(Inhibit(log, Grouping()), made)


def test_whom_an_address_only_failed_at_is_left_to_the_alert_of_the_address() -> None:
    cover = replace(alert("c1", code="password_spraying"), subject=f"address:{ADDRESS}")
    guessed = alert("e1", "ann", severity="medium", outcome="failure")
    assert inhibited(cover, guessed) == "inhibited: part of alert alert-c1"
    assert inhibited(None, guessed) == ""
    assert inhibited(replace(cover, severity="low"), guessed) == ""
    assert inhibited(replace(cover, updated_s=NOW_S - 5 * 3600), guessed) == ""
    assert inhibited(replace(cover, notify_s=None), guessed) == ""


@pytest.mark.parametrize(
    "more",
    [
        {"outcome": "success"},
        {"outcome": "failure", "ip": "198.51.100.7"},
        {"outcome": "failure", "ip": None},
    ],
)
def test_anything_else_about_a_user_is_told(more: Any) -> None:
    cover = replace(alert("c1", code="password_spraying"), subject=f"address:{ADDRESS}")
    assert inhibited(cover, alert("e1", "ann", severity="low", **more)) == ""


@pytest.mark.parametrize(
    ("severity", "told", "after_s", "held"),
    [
        ("low", "low", 3600, True),
        ("low", "low", DAY_S, False),
        ("high", "high", 3600, True),
        ("high", "high", 4 * 3600, False),
        ("high", "low", 1, False),
        ("critical", "critical", 1, False),
    ],
)
def test_what_was_told_is_no_news_for_a_while(
    severity: Any, told: Any, after_s: float, held: bool
) -> None:
    log, made = MemoryLog(), alert(severity=severity)
    news = {made.fingerprints[0]: News(NOW_S, told)}
    asyncio.run(log.told(made, [], news))
    assert bool(considered(Window(log, Rules()), made, NOW_S + after_s)) == held


def test_the_next_wave_is_news() -> None:
    log, made = MemoryLog(), replace(alert(severity="low"), subject=WAVE)
    news = {made.fingerprints[0]: News(NOW_S, "low")}
    asyncio.run(log.told(made, [], news))
    assert considered(Window(log, Rules()), made, NOW_S + 3600) == ""


# Route and rate limit


ROUTES = """
channels: {mail: {type: memory}, pager: {type: memory}, cases: {type: memory}}
groups: {admins: [root, "adm-*"]}
times: {office: {days: [mon, tue, wed, thu, fri], from: "08:00", until: "18:00"}}
routes:
  - {name: all, channels: [cases], continue: true}
  - {name: admins, when: {groups: [admins]}, channels: [pager, cases]}
  - {name: night, when: {severity_at_least: critical, outside: office}, channels: [pager]}
  - {name: travel, when: {reasons: [impossible_travel], not_groups: [admins]}, channels: [mail]}
otherwise: [mail]
"""


def routed(made: Alert, now_s: float = NOW_S, yaml: str = ROUTES) -> tuple[str, ...]:
    rules = load(yaml)
    notice = asyncio.run(Routed(rules, matcher(rules))(Notice(made), now_s))
    return notice.channels


def test_the_first_route_decides_unless_it_says_continue() -> None:
    monday_noon = NOW_S + DAY_S + 4 * 3600
    assert routed(alert(user="adm-eve")) == ("cases", "pager")
    assert routed(alert(severity="critical")) == ("cases", "pager")  # a Sunday
    assert routed(alert(severity="critical"), monday_noon) == ("cases", "mail")
    assert routed(alert(code="unusual_device")) == ("cases",)


def test_what_no_route_takes_goes_to_otherwise() -> None:
    yaml = ROUTES.replace("  - {name: all, channels: [cases], continue: true}\n", "")
    assert routed(alert(code="unusual_device"), yaml=yaml) == ("mail",)


def test_an_alert_without_a_channel_is_held_visibly() -> None:
    rules = Rules()
    assert considered(Routed(rules, matcher(rules)), alert()) == "unrouted: no route takes it"


def limited(yaml: str, made: Alert, earlier: list[Delivery], now_s: float = NOW_S) -> Delivery:
    log = MemoryLog()
    for each in earlier:
        asyncio.run(log.put(each))
    notice = Notice(made, channels=("soc",))
    (delivery,) = asyncio.run(RateLimit(log, load(yaml))(notice, now_s)).deliveries
    return delivery


def sent(number: int, created_s: float, state: DeliveryState = "sent") -> Delivery:
    return Delivery(
        delivery_id=f"d{number}", channel="soc", kind="alert", alert_ids=(f"a{number}",),
        severity="low", created_s=created_s, due_s=created_s, state=state,
    )  # fmt: skip


def test_beyond_the_rate_alerts_wait_for_a_summary() -> None:
    yaml = "channels: {soc: {type: memory, rate: {most: 3, per: 10m}}}"
    earlier = [sent(n, NOW_S - 60 * n) for n in range(1, 4)]
    made = limited(yaml, alert(severity="high"), earlier)
    assert (made.state, made.due_s) == ("held", NOW_S - 180 + 600)
    assert limited(yaml, alert(severity="high"), earlier[:2]).state == "waiting"
    assert limited(yaml, alert(severity="high"), earlier, NOW_S + 600).state == "waiting"


def test_the_rate_never_holds_back_what_is_critical() -> None:
    yaml = "channels: {soc: {type: memory, rate: {most: 1, per: 1h}}}"
    earlier = [sent(n, NOW_S) for n in range(50)]
    assert limited(yaml, alert(severity="critical"), earlier).state == "waiting"


def test_below_the_severity_of_a_digest_alerts_wait_for_it() -> None:
    yaml = 'channels: {soc: {type: memory, digest: {below: high, at: "09:30"}}}'
    made = limited(yaml, alert(severity="medium"), [])
    assert (made.state, made.due_s) == ("held", NOW_S + 1.5 * 3600)
    assert limited(yaml, alert(severity="high"), []).state == "waiting"
    every = "channels: {soc: {type: memory, digest: {below: critical, every: 6h}}}"
    assert limited(every, alert(severity="high"), []).due_s == NOW_S + 4 * 3600  # 12:00


def test_one_telling_has_one_id() -> None:
    yaml = "channels: {soc: {type: memory}}"
    first, again = limited(yaml, alert(), []), limited(yaml, alert(), [], NOW_S + 5)
    update = limited(yaml, replace(alert(), revision=1), [])
    assert first.delivery_id == again.delivery_id
    assert first.delivery_id != update.delivery_id


# Record and retry


def test_what_is_told_is_news_no_more_and_what_is_held_still_is() -> None:
    async def talk() -> None:
        log, made = MemoryLog(), replace(alert(), notify_s=NOW_S)
        record = Record(log)
        await record(Notice(made, held="silenced: s1"), NOW_S)
        held = await log.alert(made.alert_id)
        assert held is not None
        assert (held.held, held.fresh, held.notify_s) == ("silenced: s1", made.fresh, None)
        await record(Notice(held, deliveries=(sent(1, NOW_S, "waiting"),)), NOW_S + 5)
        told = await log.alert(made.alert_id)
        assert told is not None
        assert (told.held, told.fresh, told.told_s, told.revision) == ("", (), NOW_S + 5, 1)
        assert await log.news(made.fingerprints) == {made.fresh[0]: News(NOW_S + 5, "high")}
        assert await log.waiting("soc", NOW_S + 5) is not None

    asyncio.run(talk())


def retried(attempts: int, why: Retryable | Rejected, *, age_s: float = 60.0) -> Delivery:
    delivery = replace(sent(1, NOW_S - age_s, "sending"), attempts=attempts)
    return Retries(Retry(), lambda: 1.0)(delivery, why, NOW_S)


def test_pauses_double_up_to_the_longest() -> None:
    pauses = [retried(n, Retryable("down")).due_s - NOW_S for n in (1, 2, 3, 6, 7, 8, 4000)]
    assert pauses == [5, 10, 20, 160, 300, 300, 300]


def test_pauses_are_spread() -> None:
    delivery = replace(sent(1, NOW_S, "sending"), attempts=1)
    due_s = Retries(Retry(), lambda: 0.0)(delivery, Retryable("down"), NOW_S).due_s
    assert due_s == NOW_S + 2.5


def test_a_channel_that_says_how_long_is_believed() -> None:
    assert retried(1, Retryable("slow down", 1800.0)).due_s == NOW_S + 1800
    assert retried(8, Retryable("slow down", 1.0)).due_s == NOW_S + 300
    assert retried(1, Retryable("come back in a year", 3e7)).due_s == NOW_S + 3600


def test_a_message_is_given_up_at_its_age_and_not_before() -> None:
    patient = retried(500, Retryable("down"), age_s=DAY_S - 1)
    assert (patient.state, patient.due_s) == ("waiting", NOW_S + 1)
    given_up = retried(500, Retryable("down"), age_s=DAY_S)
    assert (given_up.state, given_up.problem, given_up.finished_s) == ("failed", "down", NOW_S)


def test_what_is_rejected_fails_at_once() -> None:
    assert retried(1, Rejected("answered 400")).state == "failed"
