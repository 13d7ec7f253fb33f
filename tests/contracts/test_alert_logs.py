"""What every alert log promises; the one in memory and those in databases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from alerting.alert import Alert
from alerting.log import (
    FIRST_KEPT,
    LAST_KEPT,
    AlertQuery,
    Delivery,
    DeliveryState,
    FullLog,
    Matchers,
    News,
    Silence,
)
from alerting.memory_log import MemoryLog
from ensemble.verdict import Severity
from services.storage.alert_log import SqlAlertLog, SqliteAlertLog
from services.storage.postgres.alert_log import PostgresAlertLog
from tests.unit.alerting.making import NOW_S, alert, ids, occurrence

Run = Callable[[Callable[[FullLog], Awaitable[None]]], None]


@pytest.fixture(params=["memory", "sqlite", "sqlite in memory", "postgres"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Run]:
    """Runs one test's coroutine against a fresh log."""
    if request.param == "memory":
        yield lambda test: asyncio.run(_awaited(test, MemoryLog()))
        return
    if request.param == "postgres":
        log: SqlAlertLog = PostgresAlertLog(request.getfixturevalue("postgres"))
    else:
        log = SqliteAlertLog(tmp_path / "alerts.sqlite" if request.param == "sqlite" else None)
    with closing(log):
        yield lambda test: asyncio.run(_awaited(test, log))


async def _awaited(test: Callable[[FullLog], Awaitable[None]], log: FullLog) -> None:
    await test(log)


def delivery(
    id_: str,
    *,
    of: str = "alert-e1",
    channel: str = "soc",
    state: DeliveryState = "waiting",
    severity: Severity = "high",
    created_s: float = NOW_S,
    due_s: float = NOW_S,
    attempts: int = 0,
) -> Delivery:
    return Delivery(
        delivery_id=id_, channel=channel, kind="alert", alert_ids=(of,), severity=severity,
        created_s=created_s, due_s=due_s, state=state, attempts=attempts,
    )  # fmt: skip


async def fill(log: FullLog, *alerts: Alert) -> None:
    for each in alerts:
        await log.join([each], [(each.alert_id, each.lead)])


def test_an_alert_is_found_as_it_was_saved(run: Run) -> None:
    async def test(log: FullLog) -> None:
        made = alert("e1", user="ann <b>\N{SNOWMAN}")
        await fill(log, made)
        assert await log.alert(made.alert_id) == made
        assert await log.latest(made.subject) == made
        assert await log.alert("none") is None
        assert await log.latest("user:none") is None
        acknowledged = replace(made, acknowledged_s=NOW_S, acknowledged_by="bob")
        await log.save(acknowledged)
        assert await log.alert(made.alert_id) == acknowledged

    run(test)


def test_events_are_known_once_they_belong_to_an_alert(run: Run) -> None:
    async def test(log: FullLog) -> None:
        await fill(log, alert("e1"))
        assert await log.known(["e1", "e2"]) == {"e1"}
        assert await log.known([]) == set()

    run(test)


def test_the_newest_alert_of_a_subject_is_its_latest(run: Run) -> None:
    async def test(log: FullLog) -> None:
        await fill(log, alert("e1"), alert("e2", now_s=NOW_S + 1), alert("e3", user="bob"))
        latest = await log.latest("user:ann")
        assert latest is not None
        assert latest.alert_id == "alert-e2"

    run(test)


def test_a_chain_is_in_the_order_of_its_events(run: Run) -> None:
    async def test(log: FullLog) -> None:
        made = alert("e1")
        late = [occurrence(f"e{n}", at_s=NOW_S - n) for n in range(2, 9)]
        await log.join([made], [(made.alert_id, each) for each in (made.lead, *late)])
        whole = await log.chain(made.alert_id, first=4, last=4)
        assert ids(whole) == ["e8", "e7", "e6", "e5", "e4", "e3", "e2", "e1"]
        assert ids(await log.chain(made.alert_id, first=1, last=2)) == ["e8", "e2", "e1"]
        assert await log.chain("none", first=1, last=1) == []

    run(test)


def test_of_a_flood_the_beginning_and_the_end_are_kept_whole(run: Run) -> None:
    async def test(log: FullLog) -> None:
        made, total = alert("e0"), FIRST_KEPT + LAST_KEPT + 40
        for begin in range(0, total, 37):
            part = [occurrence(f"e{n}", at_s=NOW_S + n)
                    for n in range(begin, min(total, begin + 37))]  # fmt: skip
            await log.join([made], [(made.alert_id, each) for each in part])
        kept = ids(await log.chain(made.alert_id, first=total, last=0))
        assert kept[:FIRST_KEPT] == [f"e{n}" for n in range(FIRST_KEPT)]
        assert kept[-LAST_KEPT:] == [f"e{n}" for n in range(total - LAST_KEPT, total)]
        assert len(kept) == FIRST_KEPT + LAST_KEPT
        every = [f"e{n}" for n in range(total)]
        assert await log.known(every) == set(every)

    run(test)


def test_alerts_to_tell_come_the_most_severe_first(run: Run) -> None:
    async def test(log: FullLog) -> None:
        low = replace(alert("e1", user="a", severity="low"), notify_s=NOW_S)
        critical = replace(alert("e2", user="b", severity="critical"), notify_s=NOW_S + 5)
        later = replace(alert("e3", user="c"), notify_s=NOW_S + 60)
        told = replace(alert("e4", user="d"), notify_s=None)
        await fill(log, low, critical, later, told)
        assert await log.due(NOW_S + 10, 9) == [critical, low]
        assert await log.due(NOW_S + 10, 1) == [critical]
        assert await log.due(NOW_S - 1, 9) == []
        assert await log.next_notify() == NOW_S
        for each in (low, critical, later):
            await log.save(replace(each, notify_s=None))
        assert await log.next_notify() is None

    run(test)


def test_what_was_told_is_remembered_by_fingerprint(run: Run) -> None:
    async def test(log: FullLog) -> None:
        made = alert("e1")
        await log.told(made, [], {"print": News(NOW_S, "low")})
        await log.told(made, [], {"print": News(NOW_S + 1, "high")})
        assert await log.news(["print", "other"]) == {"print": News(NOW_S + 1, "high")}

    run(test)


def test_the_next_message_is_due_fresh_severe_and_old(run: Run) -> None:
    async def test(log: FullLog) -> None:
        for each in (
            delivery("tried", attempts=1, severity="critical"),
            delivery("low", severity="low"),
            delivery("newer", created_s=NOW_S + 1),
            delivery("older"),
            delivery("later", severity="critical", due_s=NOW_S + 60),
            delivery("elsewhere", channel="other", severity="critical"),
            delivery("held", state="held", severity="critical"),
        ):
            await log.put(each)
        order = []
        while (found := await log.waiting("soc", NOW_S + 2)) is not None:
            order.append(found.delivery_id)
            await log.put(replace(found, state="sent"))
        assert order == ["older", "newer", "low", "tried"]
        assert await log.next_due("soc") == NOW_S
        assert await log.next_due("nowhere") is None

    run(test)


def test_what_was_being_sent_waits_again_after_a_restart(run: Run) -> None:
    async def test(log: FullLog) -> None:
        for state in ("sending", "waiting", "sent", "failed"):
            await log.put(delivery(state, state=state))
        assert await log.resume() == 1
        assert await log.counts() == {
            ("soc", "waiting"): 2, ("soc", "sent"): 1, ("soc", "failed"): 1,
        }  # fmt: skip

    run(test)


def test_a_new_message_replaces_those_that_wait_to_say_the_same(run: Run) -> None:
    async def test(log: FullLog) -> None:
        made = alert("e1")
        for each in (
            delivery("waits"),
            delivery("under-way", state="sending"),
            delivery("done", state="sent"),
            delivery("other-channel", channel="other"),
            delivery("other-alert", of="alert-e2"),
        ):
            await log.put(each)
        await log.told(made, [delivery("new")], {})
        left = {each.delivery_id for each in await log.deliveries(made.alert_id)}
        assert left == {"new", "under-way", "done", "other-channel"}
        assert [each.delivery_id for each in await log.deliveries("alert-e2")] == ["other-alert"]

    run(test)


def test_what_waits_is_not_put_off_into_a_digest(run: Run) -> None:
    async def test(log: FullLog) -> None:
        made = alert("e1")
        await log.put(delivery("waits"))
        await log.told(made, [delivery("to-be-held", state="held")], {})
        assert [each.delivery_id for each in await log.deliveries(made.alert_id)] == ["waits"]
        await log.put(delivery("waits", state="sent"))
        await log.told(made, [delivery("to-be-held", state="held")], {})
        assert [each.delivery_id for each in await log.held("soc")] == ["to-be-held"]

    run(test)


def test_a_digest_takes_the_place_of_what_was_held(run: Run) -> None:
    async def test(log: FullLog) -> None:
        for n in (1, 2):
            held = delivery(f"h{n}", of=f"alert-e{n}", state="held", created_s=NOW_S + n)
            await log.put(held)
        await log.put(delivery("elsewhere", channel="other", state="held"))
        digest = Delivery(
            delivery_id="digest", channel="soc", kind="digest",
            alert_ids=("alert-e1", "alert-e2"), severity="low", created_s=NOW_S, due_s=NOW_S,
        )  # fmt: skip
        assert [each.delivery_id for each in await log.held("soc")] == ["h1", "h2"]
        await log.digest(digest)
        assert await log.held("soc") == []
        assert await log.deliveries("alert-e2") == [digest]
        assert await log.waiting("soc", NOW_S) == digest
        assert len(await log.held("other")) == 1

    run(test)


def test_single_messages_of_a_span_are_counted(run: Run) -> None:
    async def test(log: FullLog) -> None:
        for each in (
            delivery("old", created_s=NOW_S - 1),
            delivery("sent", state="sent", created_s=NOW_S),
            delivery("waits", created_s=NOW_S + 2),
            delivery("held", state="held", created_s=NOW_S + 3),
            delivery("elsewhere", channel="other", created_s=NOW_S + 4),
        ):
            await log.put(each)
        assert await log.sent_since("soc", NOW_S) == [NOW_S, NOW_S + 2]

    run(test)


def test_messages_of_channels_that_are_gone_fail_visibly(run: Run) -> None:
    async def test(log: FullLog) -> None:
        for each in (
            delivery("here"),
            delivery("gone", channel="gone"),
            delivery("gone-held", channel="gone", state="held", of="alert-e2"),
            delivery("gone-young", channel="gone", created_s=NOW_S + 60, of="alert-e3"),
        ):
            await log.put(each)
        expired = await log.expire(
            {"soc": 1}.keys(), before_s=NOW_S + 1, now_s=NOW_S + 90, problem="no such channel"
        )
        assert expired == 2
        (failed,) = [each for each in await log.deliveries("alert-e1") if each.state == "failed"]
        assert (failed.delivery_id, failed.problem) == ("gone", "no such channel")
        assert failed.finished_s == NOW_S + 90

    run(test)


def test_silences_hold_until_they_are_over(run: Run) -> None:
    async def test(log: FullLog) -> None:
        silence = Silence(
            silence_id="s1", matchers=Matchers(users=("ann",)), from_s=NOW_S,
            until_s=NOW_S + 60, created_by="bob", comment="on holiday",
        )  # fmt: skip
        await log.silence(silence)
        assert await log.silences(NOW_S + 59) == [silence]
        assert await log.silences(NOW_S + 60) == []
        await log.silence(replace(silence, until_s=NOW_S + 5))
        assert await log.silences(NOW_S + 6) == []

    run(test)


def test_old_alerts_are_forgotten_unless_something_of_them_waits(run: Run) -> None:
    async def test(log: FullLog) -> None:
        quiet = [replace(alert(f"e{n}", user=f"u{n}"), notify_s=None) for n in range(1, 5)]
        young = replace(quiet[3], updated_s=NOW_S + 100)
        await fill(log, *quiet[:3], young)
        await log.save(replace(quiet[2], notify_s=NOW_S))
        await log.told(quiet[0], [delivery("done", state="sent")], {"old": News(NOW_S, "low")})
        await log.put(delivery("waits", of="alert-e2"))
        assert await log.prune(NOW_S + 50) == 1
        left = [each.alert_id for each in await log.alerts(AlertQuery())]
        assert sorted(left) == ["alert-e2", "alert-e3", "alert-e4"]
        assert await log.known(["e1", "e2"]) == {"e2"}
        assert await log.deliveries("alert-e1") == []
        assert await log.latest("user:u1") is None
        assert await log.news(["old"]) == {}

    run(test)


def test_alerts_are_asked_for_by_what_they_are(run: Run) -> None:
    async def test(log: FullLog) -> None:
        ann = alert("e1", user="ann", severity="low", code="unusual_device")
        bob = alert("e2", user="bob", severity="critical", now_s=NOW_S + 1, ip="198.51.100.7")
        cid = replace(alert("e3", user="cid", now_s=NOW_S + 2), acknowledged_s=NOW_S + 3)
        await fill(log, ann, bob, cid)
        await log.put(delivery("d1", of="alert-e1", state="failed"))
        await log.put(delivery("d2", of="alert-e2", state="sent", channel="pager"))
        asked = {
            "all": AlertQuery(),
            "severe": AlertQuery(severity_at_least="high"),
            "user": AlertQuery(user="bob"),
            "address": AlertQuery(address="198.51.100.7"),
            "reason": AlertQuery(reason="unusual_device"),
            "acknowledged": AlertQuery(status="acknowledged"),
            "open": AlertQuery(status="open"),
            "failed": AlertQuery(delivery="failed"),
            "pager": AlertQuery(channel="pager"),
            "failed on pager": AlertQuery(channel="pager", delivery="failed"),
            "from then": AlertQuery(since_s=NOW_S + 1),
            "until then": AlertQuery(until_s=NOW_S + 1),
            "two at once": AlertQuery(user="ann", severity_at_least="high"),
        }
        found = {
            name: "".join(each.users[0][0] for each in await log.alerts(query))
            for name, query in asked.items()
        }
        assert found == {
            "all": "cba", "severe": "cb", "user": "b", "address": "b", "reason": "a",
            "acknowledged": "c",
            "open": "ba", "failed": "a", "pager": "b", "failed on pager": "", "from then": "cb",
            "until then": "a", "two at once": "",
        }  # fmt: skip

    run(test)


def test_pages_follow_each_other_without_gap_or_repeat(run: Run) -> None:
    async def test(log: FullLog) -> None:
        # Alerts of one instant are told apart by their ids.
        made = [alert(f"e{n}", user=f"u{n}", now_s=NOW_S + n // 3) for n in range(10)]
        await fill(log, *made)
        pages, after = [], None
        while page := await log.alerts(AlertQuery(limit=4, after=after)):
            pages.append(page)
            after = (page[-1].opened_s, page[-1].alert_id)
        assert [len(page) for page in pages] == [4, 4, 2]
        order = [each.alert_id for page in pages for each in page]
        newest_first = sorted(made, key=lambda each: (each.opened_s, each.alert_id), reverse=True)
        assert order == [each.alert_id for each in newest_first]

    run(test)
