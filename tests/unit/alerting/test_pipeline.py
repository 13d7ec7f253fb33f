"""The pipeline whole: what people are told, when, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from alerting.log import AlertQuery, Delivery, Matchers, Silence
from alerting.notifiers.base import Rejected, Retryable
from alerting.pipeline import UnknownAlert
from alerting.render import subject
from tests.unit.alerting.making import NOW_S, ONE, Desk, occurrence


def day(yaml: str, play: Callable[[Desk], Awaitable[None]]) -> Desk:
    """A desk on which something was played."""
    desk = Desk(yaml)
    asyncio.run(_awaited(play, desk))
    return desk


async def _awaited(play: Callable[[Desk], Awaitable[None]], desk: Desk) -> None:
    await play(desk)


def test_what_is_not_suspicious_raises_no_alert() -> None:
    async def play(desk: Desk) -> None:
        ordinary = replace(occurrence("e1").verdict, is_anomaly=False, severity="info", reasons=())
        assert await desk.pipeline.offer([ordinary]) == 0
        assert await desk.log.alerts(AlertQuery()) == []

    day(ONE, play)


def test_a_chain_of_minutes_arrives_as_one_message() -> None:
    async def play(desk: Desk) -> None:
        for n in range(5):
            await desk.offer(occurrence(f"e{n}", at_s=NOW_S + n))
            await desk.after(1)
        assert desk.sent() == []
        await desk.after(10)
        (message,) = desk.sent()
        assert [each.verdict.event_id for each in message.told[0].chain] == [
            "e0", "e1", "e2", "e3", "e4",
        ]  # fmt: skip
        assert not message.update

    day(ONE, play)


def test_what_is_critical_is_told_at_once() -> None:
    async def play(desk: Desk) -> None:
        await desk.offer(occurrence("e1", severity="critical"))
        await desk.work()
        assert desk.told() == ["ann"]

    day(ONE, play)


def test_a_hundred_more_of_the_same_are_no_news() -> None:
    async def play(desk: Desk) -> None:
        for n in range(100):
            await desk.offer(occurrence(f"e{n}", at_s=NOW_S + 60 * n))
            await desk.after(60, step_s=10)
        assert len(desk.sent()) == 1
        (alert,) = await desk.log.alerts(AlertQuery())
        assert alert.events == 100

    day(ONE, play)


def test_something_new_about_a_user_is_an_update_but_not_within_minutes() -> None:
    async def play(desk: Desk) -> None:
        await desk.offer(occurrence("e1", severity="low"))
        await desk.after(40)
        await desk.offer(occurrence("e2", code="unusual_device", severity="low"))
        await desk.after(60)
        assert len(desk.sent()) == 1
        await desk.after(300)
        assert [message.update for message in desk.sent()] == [False, True]
        assert "update" in subject(desk.sent()[1])

    day(ONE, play)


def test_a_rise_to_critical_is_told_at_once() -> None:
    async def play(desk: Desk) -> None:
        await desk.offer(occurrence("e1", severity="medium"))
        await desk.after(40)
        await desk.offer(occurrence("e2", severity="critical"))
        await desk.work()
        assert [message.severity for message in desk.sent()] == ["medium", "critical"]

    day(ONE, play)


def test_the_same_the_next_day_is_told_again_only_after_the_window() -> None:
    async def play(desk: Desk) -> None:
        for hours in (0, 6, 12, 25):
            desk.clock.advance(NOW_S + hours * 3600 - desk.clock.now())
            await desk.offer(occurrence(f"e{hours}", severity="low"))
            await desk.after(60)
        assert len(desk.sent()) == 2
        alerts = await desk.log.alerts(AlertQuery())
        assert [alert.held.partition(":")[0] for alert in alerts] == [
            "", "suppressed", "suppressed", "",
        ]  # fmt: skip

    day(ONE, play)


def test_what_was_silenced_is_told_when_it_goes_on_afterwards() -> None:
    async def play(desk: Desk) -> None:
        silence = Silence(
            silence_id="s1", matchers=Matchers(users=("ann",)), from_s=NOW_S,
            until_s=NOW_S + 600, created_by="bob", comment="travels",
        )  # fmt: skip
        await desk.log.silence(silence)
        await desk.offer(occurrence("e1"))
        await desk.after(599)
        assert desk.sent() == []
        await desk.offer(occurrence("e2"))
        await desk.after(60)
        (message,) = desk.sent()
        assert message.told[0].alert.events == 2

    day(ONE, play)


def test_an_acknowledged_alert_is_told_again_only_with_news() -> None:
    async def play(desk: Desk) -> None:
        await desk.offer(occurrence("e1"))
        await desk.after(20)
        (alert,) = await desk.log.alerts(AlertQuery())
        first = await desk.pipeline.acknowledge(alert.alert_id, by="bob", note="calls ann")
        desk.clock.advance(60)
        again = await desk.pipeline.acknowledge(alert.alert_id, by="bob")
        assert (again.acknowledged_s, again.note) == (first.acknowledged_s, "calls ann")
        await desk.offer(occurrence("e2"))
        await desk.after(400, step_s=10)
        assert len(desk.sent()) == 1
        assert (await desk.log.alerts(AlertQuery()))[0].status == "acknowledged"
        await desk.offer(occurrence("e3", code="unusual_device"))
        await desk.after(400, step_s=10)
        assert len(desk.sent()) == 2
        assert (await desk.log.alerts(AlertQuery()))[0].status == "open"

    day(ONE, play)


def test_nobody_can_acknowledge_what_is_not_there() -> None:
    with pytest.raises(UnknownAlert, match="no alert 'none'"):
        asyncio.run(Desk(ONE).pipeline.acknowledge("none", by="bob"))


def test_an_event_offered_again_after_its_message_is_no_news() -> None:
    async def play(desk: Desk) -> None:
        for _ in range(3):
            await desk.offer(occurrence("e1"))
            await desk.after(400, step_s=10)
        assert len(desk.sent()) == 1

    day(ONE, play)


FLOOD = """
channels: {soc: {type: memory, rate: {most: 5, per: 1h}}}
otherwise: [soc]
"""


def test_a_flood_is_summarised_and_nothing_of_it_is_lost() -> None:
    async def play(desk: Desk) -> None:
        await desk.offer(*(occurrence(f"e{n}", f"user-{n:02}") for n in range(40)))
        await desk.after(2 * 3600, step_s=30)
        kinds = [message.kind for message in desk.sent()]
        assert kinds == ["alert"] * 5 + ["digest"]
        told = {each.alert.users[0] for message in desk.sent() for each in message.told}
        assert told == {f"user-{n:02}" for n in range(40)}
        assert desk.sent()[-1].total == 35

    day(FLOOD, play)


def test_in_a_flood_what_is_critical_goes_out_at_once() -> None:
    async def play(desk: Desk) -> None:
        await desk.offer(*(occurrence(f"e{n}", f"user-{n:02}") for n in range(40)))
        await desk.after(60)
        await desk.offer(*(occurrence(f"c{n}", f"vip-{n}", severity="critical") for n in range(20)))
        await desk.work()
        told = desk.told()
        assert len(told) == 25
        assert {name for name in told if name.startswith("vip")} == {f"vip-{n}" for n in range(20)}

    day(FLOOD, play)


def test_what_becomes_severe_leaves_the_digest() -> None:
    async def play(desk: Desk) -> None:
        await desk.offer(occurrence("e1", severity="low"), occurrence("e2", "bob", severity="low"))
        await desk.after(60)
        assert desk.sent() == []
        await desk.offer(occurrence("e3", severity="high"))
        await desk.after(400, step_s=10)
        assert desk.told() == ["ann"]
        desk.clock.advance(6 * 3600)
        await desk.work()
        assert [message.kind for message in desk.sent()] == ["alert", "digest"]
        assert not desk.sent()[0].update  # the telling before it was put off, and never sent
        assert [each.alert.users for each in desk.sent()[1].told] == [("bob",)]

    day("channels: {soc: {type: memory, digest: {below: high, every: 6h}}}\notherwise: [soc]", play)


def test_a_dead_channel_costs_nothing_and_loses_nothing() -> None:
    async def play(desk: Desk) -> None:
        soc = desk.notifiers["soc"]
        soc.refuse = Retryable("connection refused")
        for n in range(30):
            assert await desk.offer(occurrence(f"e{n}", f"user-{n:02}")) == 1
            await desk.after(10)
        assert soc.sent == []
        soc.refuse = None
        await desk.after(330)
        assert sorted(desk.told()) == [f"user-{n:02}" for n in range(30)]
        ids = [message.delivery_id for message in soc.sent]
        assert len(set(ids)) == 30
        assert await desk.log.counts() == {("soc", "sent"): 30}

    day(ONE, play)


def test_a_failing_channel_is_not_pestered() -> None:
    async def play(desk: Desk) -> None:
        soc = desk.notifiers["soc"]
        soc.refuse = Retryable("connection refused")
        await desk.offer(*(occurrence(f"e{n}", f"user-{n:02}") for n in range(30)))
        await desk.after(10)
        await desk.after(300)
        retried = desk.pipeline.couriers["soc"].counts.retried
        assert 30 <= retried <= 62  # at most one attempt in five seconds

    day(ONE, play)


def test_a_channel_that_asks_for_a_pause_gets_it() -> None:
    async def play(desk: Desk) -> None:
        soc = desk.notifiers["soc"]
        soc.refuse = Retryable("answered 429", 120.0)
        await desk.offer(occurrence("e1"), occurrence("e2", "bob"))
        await desk.after(11)
        soc.refuse = None
        await desk.after(118)
        assert soc.sent == []
        await desk.after(3)
        assert sorted(desk.told()) == ["ann", "bob"]

    day(ONE, play)


def test_one_channel_does_not_hold_up_another() -> None:
    async def play(desk: Desk) -> None:
        desk.notifiers["down"].refuse = Retryable("connection refused")
        await desk.offer(occurrence("e1"))
        await desk.after(20)
        assert desk.told("up") == ["ann"]
        assert await desk.log.counts() == {("up", "sent"): 1, ("down", "waiting"): 1}

    day("channels: {up: {type: memory}, down: {type: memory}}\notherwise: [down, up]", play)


def test_a_message_that_can_never_be_sent_is_recorded_and_holds_up_nobody() -> None:
    async def play(desk: Desk) -> None:
        soc = desk.notifiers["soc"]
        soc.refuse = Rejected("answered 400")
        await desk.offer(occurrence("e1"))
        await desk.after(20)
        soc.refuse = None
        await desk.offer(occurrence("e2", "bob"))
        await desk.after(20)
        assert desk.told() == ["bob"]
        (failed,) = await desk.log.alerts(AlertQuery(delivery="failed"))
        (delivery,) = await desk.log.deliveries(failed.alert_id)
        assert (failed.users, delivery.problem) == (("ann",), "answered 400")

    day(ONE, play)


def test_after_a_day_a_dead_channel_is_given_up_visibly() -> None:
    async def play(desk: Desk) -> None:
        desk.notifiers["soc"].refuse = Retryable("connection refused")
        await desk.offer(occurrence("e1"))
        await desk.after(23 * 3600, step_s=100)
        assert await desk.log.counts() == {("soc", "waiting"): 1}
        await desk.after(2 * 3600, step_s=100)
        assert await desk.log.counts() == {("soc", "failed"): 1}

    day(ONE, play)


def test_a_message_says_what_is_known_when_it_is_sent() -> None:
    async def play(desk: Desk) -> None:
        soc = desk.notifiers["soc"]
        soc.refuse = Retryable("connection refused")
        await desk.offer(occurrence("e1", severity="low"))
        await desk.after(60)
        await desk.offer(occurrence("e2", code="unusual_device", severity="critical"))
        await desk.after(60)
        soc.refuse = None
        await desk.after(300)
        (message,) = soc.sent
        assert (message.severity, message.told[0].alert.events) == ("critical", 2)

    day(ONE, play)


class Died(BaseException):
    """The process is gone."""


def test_a_crash_between_sending_and_recording_repeats_exactly_that_message() -> None:
    async def play(desk: Desk) -> None:
        await desk.offer(*(occurrence(f"e{n}", f"user-{n}") for n in range(5)))
        desk.clock.advance(10)
        await desk.pipeline.dispatch()
        put, survived = desk.log.put, 2

        async def dying_put(delivery: Delivery) -> None:
            if delivery.state == "sent" and len(desk.sent()) > survived:
                raise Died
            await put(delivery)

        desk.log.put = dying_put  # type: ignore[method-assign]
        with pytest.raises(Died):
            await desk.pipeline.couriers["soc"].deliver()
        desk.log.put = put  # type: ignore[method-assign]
        assert len(desk.sent()) == 3
        # A new process on the same log.
        again = Desk(ONE, desk.log, now_s=desk.clock.now())
        assert await again.log.resume() == 1
        await again.work()
        assert len(again.sent()) == 3
        before = [message.delivery_id for message in desk.sent()]
        after = [message.delivery_id for message in again.sent()]
        assert set(before) & set(after) == {before[-1]}
        assert len(set(before) | set(after)) == 5

    day(ONE, play)


def test_messages_carry_the_trace_of_the_first_event() -> None:
    async def play(desk: Desk) -> None:
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        await desk.offer(occurrence("e1", trace=""), occurrence("e2", trace=trace))
        await desk.after(20)
        (alert,) = await desk.log.alerts(AlertQuery())
        (delivery,) = await desk.log.deliveries(alert.alert_id)
        assert delivery.traceparent == trace

    day(ONE, play)


def test_an_alert_of_which_only_the_verdict_is_known_is_told_too() -> None:
    async def play(desk: Desk) -> None:
        await desk.pipeline.offer([occurrence("e1").verdict])
        await desk.after(20)
        (message,) = desk.sent()
        assert message.told[0].alert.first_at_s == NOW_S
        assert message.told[0].chain[0].event is None

    day(ONE, play)


@pytest.mark.parametrize("count", [1, 7])
def test_batches_of_any_size_make_the_same_alerts(count: int) -> None:
    async def play(desk: Desk) -> None:
        given = [occurrence(f"e{n}", f"user-{n % 3}", at_s=NOW_S + n) for n in range(21)]
        for begin in range(0, 21, count):
            await desk.offer(*given[begin : begin + count])
        alerts = await desk.log.alerts(AlertQuery())
        told: list[Any] = sorted((each.subject, each.events, each.alert_id) for each in alerts)
        assert [each[:2] for each in told] == [
            ("user:user-0", 7), ("user:user-1", 7), ("user:user-2", 7),
        ]  # fmt: skip

    day(ONE, play)
