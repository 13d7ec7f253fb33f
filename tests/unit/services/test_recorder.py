"""services/recorder.py: what it confirmed it has, whatever happens to it or to its files."""

from __future__ import annotations

import asyncio
import json
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, TypeVar

import pytest

from alerting.log import AlertQuery
from services import backlog, opened
from services import recorder as recorders
from services.recent import Recent
from services.recorder import Recorder, RecorderArgs
from services.storage import reopening
from services.storage.base import Limits, VerdictQuery
from services.storage.errors import StoreError, TooLong
from services.storage.verdicts import SqliteStore
from tests.unit.services.storage.batches import batch, encoded, evidence_of, values, verdict

T = TypeVar("T")

FLAGGED = verdict("b", "high", "impossible_travel")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LIMITS = Limits(most_bytes=1 << 30, most_days=30, most_alert_days=365)


@asynccontextmanager
async def running(folder: Path | None, **args: Any) -> AsyncIterator[Recorder]:
    recorder = Recorder(RecorderArgs(store_dir=str(folder) if folder else None, **args))
    try:
        yield recorder
    finally:
        recorder.close()


def run(talk: Callable[[], Awaitable[T]]) -> T:
    async def talking() -> T:
        async with asyncio.timeout(30):
            return await talk()

    return asyncio.run(talking())


async def alerts(recorder: Recorder) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(await recorder.alerts(AlertQuery()))["alerts"]
    return found


async def alerted(recorder: Recorder, events: int = 1) -> list[dict[str, Any]]:
    """The alerts, once the newest has so many events."""
    while True:
        found = await alerts(recorder)
        if found and found[0]["events"] >= events:
            return found
        await asyncio.sleep(0.001)


async def until_metric(recorder: Recorder, name: str, value: float) -> None:
    while True:
        if await metric(recorder, name) == value:
            return
        await asyncio.sleep(0.001)


async def metric(recorder: Recorder, name: str) -> float:
    lines = (await recorder.metrics()).decode().splitlines()
    return float(next(line for line in lines if line.startswith(name)).rpartition(" ")[2])


def test_what_is_confirmed_survives_a_restart(tmp_path: Path) -> None:
    async def talk() -> None:
        async with running(tmp_path) as recorder:
            evidence = {1: evidence_of("b")}
            assert await recorder.record([batch(verdict("a"), FLAGGED, evidence=evidence)])
            assert await recorder.save_routing(b"{}", "kim", "new model") == 1
        async with running(tmp_path) as recorder:
            assert await recorder.first(["a", "x"]) == {"a": encoded(verdict("a"))}
            kept = await recorder.get("b")
            assert kept is not None
            assert (kept.verdict, kept.values) == (encoded(FLAGGED), values(1))
            assert kept.evidence == evidence_of("b")
            assert await recorder.routing() == (1, b"{}")
            (entry,) = await recorder.routing_history(10)
            assert (entry.by, entry.note) == ("kim", "new model")

    run(talk)


def test_the_features_of_the_last_events_are_there_until_a_restart(tmp_path: Path) -> None:
    async def talk() -> list[bytes | None]:
        found = []
        async with running(tmp_path) as recorder:
            await recorder.record([batch(verdict("z"), verdict("a"))])
            kept = await recorder.get("a")
            assert kept is not None
            found.append(kept.values)
        async with running(tmp_path) as recorder:
            kept = await recorder.get("a")
            assert kept is not None
            found.append(kept.values)
        return found

    assert run(talk) == [values(1), None]


def test_recent_features_are_bounded() -> None:
    recent = Recent(most=3)
    recent.put(batch(verdict("a"), verdict("b")))
    recent.put(batch(verdict("c"), verdict("d")))
    assert [recent.values(name) for name in "abcd"] == [None, None, values(0), values(1)]
    recent.put(batch(*(verdict(name) for name in "efghi")))
    assert recent.values("i") == values(4)


def test_in_memory_little_is_kept() -> None:
    async def talk() -> None:
        async with running(None, most_verdicts=2) as recorder:
            await recorder.record([batch(*(verdict(name) for name in "abcd"))])
            await until_metric(recorder, 'ztad_store_verdicts{kind="ordinary"}', 2)
            assert set(await recorder.first(list("abcd"))) == {"c", "d"}

    run(talk)


def test_alerts_are_made_of_what_is_recorded(tmp_path: Path) -> None:
    async def talk() -> None:
        async with running(tmp_path) as recorder:
            recorded = batch(verdict("a"), FLAGGED, evidence={1: evidence_of("b")})
            await recorder.record([recorded])
            (alert,) = await alerted(recorder)
            assert (alert["subject"], alert["events"]) == ("user:ann", 1)
            await recorder.record([recorded])
            await recorder.record([batch(verdict("c", "low", "unusual_rate"))])
            assert [each["events"] for each in await alerted(recorder, 2)] == [2]

    run(talk)


def test_a_shadow_raises_no_alert(tmp_path: Path) -> None:
    async def talk() -> None:
        async with running(tmp_path) as recorder:
            shadow = verdict("s", "critical", "impossible_travel", model_version="v2")
            await recorder.record([batch(shadow, shadow=True, version="v2")])
            await recorder.record([batch(verdict("s"), FLAGGED)])
            (alert,) = await alerted(recorder)
            assert alert["events"] == 1
            found = await recorder.compare("v2", 0.0)
            assert (found.only_shadow, found.both) == (1, 0)
            (one,) = await recorder.disagreements("v2", 0.0, 10)
            assert (one.event_id, one.shadow_severity) == ("s", "critical")

    run(talk)


def test_what_was_recorded_and_not_offered_is_offered_after_a_restart(tmp_path: Path) -> None:
    async def talk() -> None:
        with closing(SqliteStore(tmp_path / "verdicts.db", LIMITS)) as store:
            await store.append([batch(FLAGGED, traces={0: TRACE})], 1000.0)
        async with running(tmp_path) as recorder:
            (alert,) = await alerted(recorder)
            assert alert["events"] == 1

    run(talk)


def test_alerts_that_cannot_be_made_now_are_made_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recorders, "OFFER_PAUSE_S", 0)
    full, slow = StoreError("alerts.db", "full", "-"), TooLong("alerts.db", "takes too long", "-")

    async def talk() -> None:
        async with running(tmp_path) as recorder:
            offer, failures = recorder._alerts.offer, iter([full, slow])

            async def failing(recorded: Any) -> int:
                for failure in failures:
                    raise failure
                return await offer(recorded)

            monkeypatch.setattr(recorder._alerts, "offer", failing)
            assert await recorder.record([batch(FLAGGED)])
            assert len(await alerted(recorder)) == 1
            await until_metric(recorder, "ztad_store_unoffered", 0)

    run(talk)
    # Whatever opens the log tells what is wrong with it, but not that it is slow.
    told = [each.getMessage() for each in caplog.records if "alerts wait" in each.getMessage()]
    assert len(told) == 2
    assert "takes too long" in told[0]


def test_a_question_waits_for_what_is_to_come(tmp_path: Path) -> None:
    async def talk() -> None:
        async with running(tmp_path) as recorder:
            start = (await recorder.flagged(None, 10)).place
            asking = asyncio.create_task(recorder.flagged(start, 10, wait_s=2.0))
            await recorder.record([batch(verdict("a"), FLAGGED)])
            tail = await asking
            assert [each.verdict for each in tail.flagged] == [encoded(FLAGGED)]
            nothing = await recorder.flagged(tail.place, 10, wait_s=0.001)
            assert (nothing.place, nothing.flagged) == (tail.place, [])
            # A place from a store that was lost is answered at once.
            assert (await recorder.flagged(10**6, 10, wait_s=2.0)).place == tail.place
            page = await recorder.page(VerdictQuery(anomaly=True))
            assert page.verdicts == [encoded(FLAGGED)]

    run(talk)


def damaged(path: Path) -> bytes:
    content = b"certainly no database" * 1000
    path.write_bytes(content)
    return content


def of_later_schema(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=99")
    return path.read_bytes()


@pytest.mark.parametrize("spoil", [damaged, of_later_schema])
def test_a_file_that_cannot_be_used_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], bytes]
) -> None:
    """It is left as it is, the log names it and what to do, and verdicts wait on the disk."""
    content = spoil(tmp_path / "verdicts.db")

    async def talk() -> None:
        async with running(tmp_path) as recorder:
            assert await recorder.record([batch(verdict("a"), FLAGGED)])
            assert await recorder.first(["a"]) == {"a": encoded(verdict("a"))}
            assert len(await alerted(recorder)) == 1
            assert await metric(recorder, "ztad_store_degraded") == 1

    run(talk)
    told = (each.getMessage() for each in caplog.records)
    (line,) = (each for each in told if "verdicts.db" in each)
    assert "move the file" in line
    assert (tmp_path / "verdicts.db").read_bytes() == content


@pytest.mark.parametrize("spoil", [damaged, of_later_schema])
def test_no_alert_is_lost_while_their_file_cannot_be_used(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path], bytes],
) -> None:
    """Verdicts are recorded; what is to become alerts waits, over a restart, until it is mended."""
    monkeypatch.setattr(recorders, "OFFER_PAUSE_S", 0.001)
    monkeypatch.setattr(reopening, "OPEN_PAUSE_S", 0)
    path = tmp_path / "alerts.db"
    content = spoil(path)

    async def talk() -> None:
        async with running(tmp_path) as recorder:
            assert await recorder.record([batch(verdict("a"), FLAGGED)])
            with pytest.raises(StoreError, match="move the file"):
                await recorder.alerts(AlertQuery())
            await until_metric(recorder, "ztad_store_unoffered", 1)
            assert await metric(recorder, "ztad_store_degraded") == 1
        async with running(tmp_path) as recorder:
            await until_metric(recorder, "ztad_store_unoffered", 1)
            assert path.read_bytes() == content
            path.rename(tmp_path / "damaged")
            await until_metric(recorder, "ztad_store_unoffered", 0)
            assert await metric(recorder, "ztad_store_degraded") == 0
            assert len(await alerts(recorder)) == 1
        async with running(tmp_path) as recorder:
            assert len(await alerts(recorder)) == 1

    run(talk)
    told = [each.getMessage() for each in caplog.records if "alerts.db" in each.getMessage()]
    assert len([each for each in told if "Alerts wait meanwhile" in each]) == 2  # once a start
    assert "open again" in told[-1]


def moved_away(folder: Path) -> None:
    for file in folder.glob("verdicts.db*"):
        file.rename(folder / f"damaged-{file.name}")


def unusable(*_: object, **__: object) -> int:
    raise StoreError("verdicts.db", "is damaged", "move the file away", lasting=True)


def test_a_file_that_is_damaged_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verdicts wait on the disk and alerts are made, until somebody moves the file away."""
    monkeypatch.setattr(reopening, "OPEN_PAUSE_S", 0)
    monkeypatch.setattr(backlog, "LEAST_PAUSE_S", 0.001)
    path = tmp_path / "verdicts.db"

    async def talk() -> None:
        async with running(tmp_path) as recorder:
            await recorder.record([batch(verdict("a"))])

            async def broken(*args: object) -> int:
                return unusable()

            monkeypatch.setattr(recorder._store.store, "append", broken)
            monkeypatch.setattr(opened, "open_store", unusable)
            assert await recorder.record([batch(FLAGGED)])
            assert await recorder.first(["a", "b"]) == {"b": encoded(FLAGGED)}
            kept = await recorder.get("b")
            assert kept is not None
            assert kept.verdict == encoded(FLAGGED)
            with pytest.raises(StoreError, match="is damaged"):
                await recorder.page(VerdictQuery())
            assert len(await alerted(recorder)) == 1
            assert await metric(recorder, "ztad_store_degraded") == 1
            moved_away(tmp_path)
            monkeypatch.undo()
            await until_metric(recorder, "ztad_store_degraded", 0)
            await until_metric(recorder, "ztad_spool_verdicts", 0)
            assert path.exists()
            assert (await recorder.page(VerdictQuery())).verdicts == [encoded(FLAGGED)]
            assert [each["events"] for each in await alerts(recorder)] == [1]

    run(talk)
    assert "move the file away" in caplog.text


SPOOLING = """
import asyncio, sys
from services.recorder import Recorder, RecorderArgs
from tests.unit.services.storage.batches import batch, verdict

async def record():
    recorder = Recorder(RecorderArgs(store_dir=sys.argv[1]))
    for number in range(10**6):
        name = f"e{number:06}"
        if await recorder.record([batch(verdict(name, "high" if number == 0 else "info"))]):
            print(name, flush=True)

asyncio.run(record())
"""


def test_what_was_confirmed_while_spooling_survives_kill_9(tmp_path: Path) -> None:
    damaged(tmp_path / "verdicts.db")
    command = [sys.executable, "-c", SPOOLING, str(tmp_path)]
    confirmed: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        while len(confirmed) < 50:
            confirmed.append(child.stdout.readline().strip())
        child.kill()
        confirmed += [line.strip() for line in child.stdout if line.endswith("\n")]
    moved_away(tmp_path)

    async def talk() -> list[str]:
        async with running(tmp_path) as recorder:
            await recorder.record([batch(verdict("last"))])
            await until_metric(recorder, "ztad_spool_verdicts", 0)
            assert len(await alerted(recorder)) == 1
            assert set(await recorder.first(confirmed)) == set(confirmed)
        with closing(sqlite3.connect(tmp_path / "verdicts.db")) as connection:
            rows = connection.execute("SELECT event_id FROM verdicts ORDER BY place").fetchall()
        return [event_id for (event_id,) in rows]

    stored = run(talk)
    # One more may have been written and not told of before the end.
    assert stored[: len(confirmed)] == confirmed
    assert stored[-1] == "last"
    assert len(stored) == len(set(stored)) <= len(confirmed) + 2


def test_a_question_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeated event is then judged anew; whoever asks for an event is told."""

    async def broken(*args: object) -> None:
        raise StoreError("verdicts.db", "cannot be read", "see whether the disk is well")

    async def talk() -> None:
        async with running(tmp_path) as recorder:
            monkeypatch.setattr(recorder._store.store, "first", broken)
            monkeypatch.setattr(recorder._store.store, "get", broken)
            assert await recorder.first(["a"]) == {}
            with pytest.raises(StoreError, match="cannot be read"):
                await recorder.get("a")
            assert await metric(recorder, "ztad_store_failures_total") == 2

    run(talk)


def test_a_full_disk_is_told_and_verdicts_wait(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    many = batch(*(verdict(f"e{number}") for number in range(2000)))

    def most_pages(pages: int) -> Callable[[sqlite3.Connection], None]:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute(f"PRAGMA max_page_count={pages}")

        return work

    async def talk() -> None:
        async with running(tmp_path) as recorder:
            assert await recorder.record([batch(verdict("a"))])
            database = recorder._store.store._database  # type: ignore[union-attr]
            await database.write(most_pages(1))
            assert [await recorder.record([many]) for _ in range(3)] == [True] * 3
            assert await recorder.first(["a", "e7"]) == {
                name: encoded(verdict(name)) for name in ("a", "e7")
            }
            assert await metric(recorder, "ztad_store_failures_total") > 0
            assert await metric(recorder, "ztad_store_degraded") == 0
            await database.write(most_pages(100_000))
            await until_metric(recorder, "ztad_spool_verdicts", 0)
            assert await metric(recorder, 'ztad_store_verdicts{kind="ordinary"}') == 2001
            assert await metric(recorder, "ztad_spool_drained_total") == 6000

    run(talk)
    told = [each.getMessage() for each in caplog.records if "no space left" in each.getMessage()]
    assert len(told) == 1
    assert "verdicts.db" in told[0]
    assert "recorder.most_bytes" in told[0]


def test_what_is_no_verdict_is_refused(tmp_path: Path) -> None:
    async def talk() -> None:
        async with running(tmp_path) as recorder:
            nonsense = batch(verdict("a"))
            nonsense.verdicts[0] = b"[]"
            with pytest.raises(ValueError, match="'a' has no verdict"):
                await recorder.record([nonsense])
            assert await recorder.record([batch(FLAGGED)])

    run(talk)


def test_an_error_of_the_store_travels() -> None:
    lasting = StoreError("verdicts.db", "is damaged", "move it away", lasting=True)
    for error in (lasting, TooLong("verdicts.db", "takes too long", "ask for less")):
        back = pickle.loads(pickle.dumps(error))  # noqa: S301 - as Ray sends it
        assert (type(back), str(back), back.lasting) == (type(error), str(error), error.lasting)


@pytest.mark.parametrize(
    "wrong", [{"most_bytes": 1}, {"most_days": 0}, {"most_verdicts": 0}, {"store": "x"}]
)
def test_arguments_that_cannot_be_meant(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RecorderArgs(**wrong)
