"""The runner: tasks, wake-ups, rules that change meanwhile, restarts. No time passes by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import pytest

from alerting.alert import Alert
from alerting.clock import ManualClock
from alerting.log import AlertQuery, FullLog, Matchers, Silence
from alerting.memory_log import MemoryLog
from alerting.message import Message
from alerting.notifiers.base import Notifier, Retryable
from alerting.notifiers.memory import MemoryNotifier
from alerting.observing import Note
from alerting.pipeline import Known, UnknownAlert
from alerting.rules import Rules
from alerting.rules_file import RulesFile
from alerting.runner import RELOAD_S, Runner
from alerting.secret import Secrets
from tests.unit.alerting.making import NOW_S, ONE, alert, occurrence

BOTH = "channels: {soc: {type: memory}, pager: {type: memory}}\notherwise: [soc, pager]\n"


class Desk:
    """A runner with memory channels, and everything around it."""

    def __init__(
        self, path: Path | None, log: FullLog | None = None, *, gate: asyncio.Event | None = None
    ) -> None:
        self.clock = ManualClock(NOW_S)
        self.log: FullLog = log if log is not None else MemoryLog()
        self.notifiers: dict[str, MemoryNotifier] = {}
        self.gate = gate
        self.file = RulesFile(path)
        self.runner = Runner(self.file, self._make, self.log, self.clock, random=lambda: 1.0)

    def _make(self, rules: Rules) -> Mapping[str, Notifier]:
        made = {
            name: Gated(name, settings, Secrets({})) for name, settings in rules.channels.items()
        }
        for name, notifier in made.items():
            if name == "soc":
                notifier.gate = self.gate
            if name in self.notifiers:
                notifier.sent = self.notifiers[name].sent
        self.notifiers = {**made}
        return made

    async def offer(self, *events: str, user: str = "ann", severity: str = "critical") -> None:
        given = [occurrence(id_, user, severity=severity).verdict for id_ in events]
        await self.runner.offer(given)

    def sent(self, channel: str = "soc") -> list[Message]:
        return self.notifiers[channel].sent


class Gated(MemoryNotifier):
    """A channel that takes messages only while its gate is open."""

    gate: asyncio.Event | None = None
    waiting = 0

    async def notify(self, message: Message) -> None:
        if self.gate is not None:
            Gated.waiting += 1
            await self.gate.wait()
        await super().notify(message)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "alerts.yaml"
    path.write_text(ONE)
    return path


@asynccontextmanager
async def running(desk: Desk) -> AsyncIterator[None]:
    await desk.runner.start()
    try:
        yield
    finally:
        await desk.runner.close()


def rewrite(path: Path, text: str) -> None:
    """Save other rules, as an editor would."""
    path.write_text(text)


async def until(happened: Callable[[], bool]) -> None:
    """Let the tasks run until something has happened."""
    async with asyncio.timeout(30):
        while True:
            if happened():
                return
            await asyncio.sleep(0)


async def settle() -> None:
    """Let every task do what it can do now."""
    for _ in range(200):
        await asyncio.sleep(0)


def test_what_is_offered_is_delivered(path: Path) -> None:
    async def talk() -> None:
        desk = Desk(path)
        async with running(desk):
            await desk.offer("e1")
            await until(lambda: len(desk.sent()) == 1)

    asyncio.run(talk())


def test_what_waits_to_be_told_is_told_when_its_time_comes(path: Path) -> None:
    async def talk() -> None:
        desk = Desk(path)
        async with running(desk):
            await desk.offer("e1", severity="low")
            await settle()
            desk.clock.advance(29)
            await settle()
            assert desk.sent() == []
            desk.clock.advance(1)
            await until(lambda: len(desk.sent()) == 1)

    asyncio.run(talk())


def test_a_channel_that_was_down_is_tried_again(path: Path) -> None:
    async def talk() -> None:
        desk = Desk(path)
        desk.notifiers["soc"].refuse = Retryable("connection refused")
        async with running(desk):
            await desk.offer("e1")
            await settle()
            (alert_,) = await desk.runner.alerts(AlertQuery())
            _, _, (delivery,) = await desk.runner.alert(alert_.alert_id)
            assert (delivery.state, delivery.problem) == ("waiting", "connection refused")
            desk.notifiers["soc"].refuse = None
            desk.clock.advance(5)
            await until(lambda: len(desk.sent()) == 1)
            state = await desk.runner.state()
            counts = state.channels["soc"]
            assert (counts.sent, counts.retried, counts.failed, counts.problem) == (1, 1, 0, "")

    asyncio.run(talk())


def test_a_slow_channel_does_not_delay_another(path: Path) -> None:
    path.write_text(BOTH)

    async def talk() -> None:
        gate = asyncio.Event()
        desk = Desk(path, gate=gate)
        async with running(desk):
            for n in range(5):
                await desk.offer(f"e{n}", user=f"user-{n}")
            await until(lambda: len(desk.sent("pager")) == 5)
            assert desk.sent("soc") == []
            gate.set()
            await until(lambda: len(desk.sent("soc")) == 5)

    asyncio.run(talk())


def test_new_rules_take_effect_while_alerts_flow(path: Path) -> None:
    async def talk() -> None:
        desk = Desk(path)
        async with running(desk):
            await desk.offer("e1", user="ann")
            await until(lambda: len(desk.sent()) == 1)
            rewrite(path, BOTH)
            await settle()
            desk.clock.advance(RELOAD_S)
            await until(lambda: "pager" in desk.notifiers)
            await desk.offer("e2", user="bob")
            await until(lambda: len(desk.sent("pager")) == 1)
            await until(lambda: len(desk.sent("soc")) == 2)

    asyncio.run(talk())


def test_broken_new_rules_change_nothing_and_are_reported(path: Path) -> None:
    async def talk() -> None:
        desk = Desk(path)
        async with running(desk):
            rewrite(path, "channels: {soc: {type: carrier-pigeon}}")
            await settle()
            desk.clock.advance(RELOAD_S)
            await until(lambda: desk.file.problem != "")
            await desk.offer("e1")
            await until(lambda: len(desk.sent()) == 1)
            state = await desk.runner.state()
            assert "carrier-pigeon" in state.rules_problem

    asyncio.run(talk())


def test_alerts_find_their_channel_once_the_rules_are_mended(path: Path) -> None:
    path.write_text("channels: [")

    async def talk() -> None:
        desk = Desk(path)
        async with running(desk):
            await desk.offer("e1")
            await settle()
            (kept,) = await desk.runner.alerts(AlertQuery())
            assert kept.held == "unrouted: no route takes it"
            rewrite(path, ONE)
            desk.clock.advance(RELOAD_S)
            await until(lambda: "soc" in desk.notifiers)
            await desk.offer("e2")
            await until(lambda: len(desk.sent()) == 1)

    asyncio.run(talk())


def test_a_change_of_rules_waits_for_the_message_under_way(path: Path) -> None:
    """Or two couriers of one channel would both have sent it."""

    async def talk() -> None:
        gate = asyncio.Event()
        desk = Desk(path, gate=gate)
        before = Gated.waiting
        async with running(desk):
            await desk.offer("e1", user="ann")
            await until(lambda: Gated.waiting == before + 1)
            rewrite(path, ONE.replace("1000", "999"))
            assert desk.runner.reload()
            await desk.offer("e2", user="bob")
            await settle()
            assert Gated.waiting == before + 1
            gate.set()
            await until(lambda: len(desk.sent()) == 2)
            await settle()
            assert len({each.delivery_id for each in desk.sent()}) == len(desk.sent()) == 2

    asyncio.run(talk())


def test_a_channel_taken_out_of_the_rules_fails_visibly_after_its_patience(path: Path) -> None:
    path.write_text(BOTH)

    async def talk() -> None:
        desk = Desk(path)
        desk.notifiers["pager"].refuse = Retryable("connection refused")
        async with running(desk):
            await desk.offer("e1")
            await until(lambda: len(desk.sent()) == 1)
            await settle()
            rewrite(path, ONE)
            assert desk.runner.reload()
            await settle()
            assert (await desk.log.counts())["pager", "waiting"] == 1
            desk.clock.advance(25 * 3600)
            await settle()
            assert (await desk.log.counts())["pager", "failed"] == 1
            assert (await desk.runner.state()).channels["pager"].retried == 1

    asyncio.run(talk())


def test_a_stop_in_the_middle_of_a_message_repeats_it_and_no_other(path: Path) -> None:
    async def talk() -> None:
        desk = Desk(path)
        async with running(desk):
            await desk.offer("e1", user="ann")
            await until(lambda: len(desk.sent()) == 1)
        gated = Desk(path, desk.log, gate=asyncio.Event())
        before = Gated.waiting
        async with running(gated):
            await gated.offer("e2", user="bob")
            await until(lambda: Gated.waiting == before + 1)
        again = Desk(path, desk.log)
        async with running(again):
            await until(lambda: len(again.sent()) == 1)
            await settle()
        assert [each.told[0].alert.users for each in again.sent()] == [("bob",)]

    asyncio.run(talk())


class TroubledLog(MemoryLog):
    """A log whose disk is full for a while."""

    full = False

    async def told(self, alert: Alert, *args: object) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        await super().told(alert, *args)  # type: ignore[arg-type]


def test_a_log_in_trouble_delays_alerts_and_loses_none(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk() -> None:
        log = TroubledLog()
        desk = Desk(path, log)
        async with running(desk):
            log.full = True
            with caplog.at_level(logging.ERROR):
                await desk.offer("e1")
                await settle()
            assert "the log cannot be read or written" in caplog.text
            log.full = False
            desk.clock.advance(5)
            await until(lambda: len(desk.sent()) == 1)

    asyncio.run(talk())


def test_old_alerts_are_forgotten_in_the_background(path: Path) -> None:
    path.write_text(f"{ONE}keep: 1d\n")

    async def talk() -> None:
        desk = Desk(path)
        async with running(desk):
            await desk.offer("e1")
            await until(lambda: len(desk.sent()) == 1)
            await settle()
            desk.clock.advance(2 * 86400)
            await settle()
            assert await desk.runner.alerts(AlertQuery()) == []

    asyncio.run(talk())


def test_state_counts_what_happened(path: Path) -> None:
    path.write_text(f"{ONE}reasons: {{unusual_device: {{severity: critical}}}}")

    async def talk() -> None:
        desk = Desk(path)
        async with running(desk):
            await desk.offer("e1", "e2", user="ann")
            await desk.offer("e3", user="bob", severity="high")
            weak = occurrence("e4", "cid", code="unusual_device", severity="low").verdict
            await desk.runner.offer([weak])
            silence = Silence(
                silence_id="s1", matchers=Matchers(users=("bob",)), from_s=NOW_S,
                until_s=NOW_S + 60, created_by="dan", comment="why",
            )  # fmt: skip
            await desk.runner.silence(silence)
            assert await desk.runner.silences() == [silence]
            await until(lambda: len(desk.sent()) == 1)
            await settle()
            desk.clock.advance(10)
            await settle()
            state = await desk.runner.state()
        assert state.opened == {("critical", "impossible_travel"): 1,
                                ("high", "impossible_travel"): 1}  # fmt: skip
        assert (state.events, state.dropped) == (3, {"reasons.unusual_device": 1})
        assert state.held == {"silenced": 1}
        assert state.deliveries == {("soc", "sent"): 1}

    asyncio.run(talk())


def test_an_alert_is_acknowledged(path: Path) -> None:
    async def talk() -> None:
        desk = Desk(path)
        await desk.log.join([alert("e1")], [])
        done = await desk.runner.acknowledge("alert-e1", by="bob", note="calls her")
        assert (done.status, done.acknowledged_by, done.note) == (
            "acknowledged", "bob", "calls her",
        )  # fmt: skip
        with pytest.raises(UnknownAlert):
            await desk.runner.alert("none")

    asyncio.run(talk())


def test_delivery_attempts_are_observed_in_the_trace_of_the_event(path: Path) -> None:
    """The span of an attempt that fails knows why."""
    seen: list[tuple[str, str]] = []
    noted: list[dict[str, str | int]] = []

    class Span(nullcontext[Note]):
        def __init__(self, name: str, trace: str) -> None:
            seen.append((name, trace))
            super().__init__(lambda **attributes: noted.append(attributes))

        def __exit__(self, *raised: object) -> None:
            if isinstance(raised[1], BaseException):
                seen.append(("failed", type(raised[1]).__name__))

    async def talk() -> None:
        desk = Desk(path)
        desk.runner = Runner(desk.file, desk._make, desk.log, desk.clock, Span)
        desk.notifiers["soc"].refuse = Retryable("down")
        async with running(desk):
            given = occurrence("e1", severity="critical")
            trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            await desk.runner.offer([given.verdict], Known(traces={"e1": trace}))
            await until(lambda: len(seen) == 4)
        assert seen == [
            ("ztad.alert.group", trace), ("ztad.alert.dispatch", trace),
            ("ztad.alert.notify", trace), ("failed", "Retryable"),
        ]  # fmt: skip
        grouped, dispatched, attempted = noted
        assert grouped == {"events": 1, "alerts": 1, "opened": 1}
        assert dispatched["severity"] == "critical"
        assert (dispatched["messages"], dispatched["held"]) == (1, "")
        assert (attempted["channel"], attempted["attempt"]) == ("soc", 1)

    asyncio.run(talk())


def test_close_before_start(path: Path) -> None:
    asyncio.run(Desk(path).runner.close())
