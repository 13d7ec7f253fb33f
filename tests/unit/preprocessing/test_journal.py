"""The journaled history: what survives a kill, a torn or changed file, and a second process."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.frames import framed
from preprocessing.history import HistoryError, UserHistory
from preprocessing.journal import JournaledHistory, JournalSettings
from preprocessing.statedir import HistoryDamaged, HistoryLocked

ROOT = Path(__file__).resolve().parents[3]
START = datetime(2026, 11, 2, 9, tzinfo=UTC)
NOW_S = START.timestamp()
QUIET = JournalSettings(flush_s=1e6, lock_wait_s=0.0)


def event(number: int, **fields: Any) -> AuthEvent:
    at = START + timedelta(seconds=number)
    known = {"user_id": f"u{number % 7}", "outcome": "success", "event_id": str(number)}
    return AuthEvent(at, **known | fields)


def pair(number: int) -> list[AuthEvent]:
    return [event(2 * number), event(2 * number + 1)]


def feed(history: UserHistory, first: int, count: int) -> None:
    """``count`` batches of two events; of each batch the first event is learned."""
    for number in range(first, first + count):
        history.observe(pair(number), now_s=NOW_S + number)
        history.learn([str(2 * number)])


def undisturbed(count: int) -> EmbeddedHistory:
    history = EmbeddedHistory()
    feed(history, 0, count)
    return history


def opened(directory: Path, **given: Any) -> JournaledHistory:
    return JournaledHistory(directory, **{"journal": QUIET} | given)


def abandon(history: JournaledHistory) -> None:
    """End it as a kill does, except for what was flushed: no snapshot, lock let go."""
    history._appender.close()
    history._join()
    history._directory.close()


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_clean_close_leaves_one_snapshot(tmp_path: Path) -> None:
    history = opened(tmp_path)
    assert history.recovery.fresh
    feed(history, 0, 50)
    history.close()
    history.close()
    assert names(tmp_path) == ["journal-00000002", "lock", "snapshot-00000002"]
    again = opened(tmp_path)
    assert (again.recovery.fresh, again.recovery.events) == (False, 0)
    assert again.snapshot() == undisturbed(50).snapshot()
    again.close()


def test_what_was_flushed_is_replayed(tmp_path: Path) -> None:
    history = opened(tmp_path)
    feed(history, 0, 50)
    history.observe([event(0), event(4, outcome="failure")], now_s=NOW_S + 50)  # repeats
    abandon(history)
    again = opened(tmp_path)
    assert again.recovery.events == 102
    assert again.snapshot() == undisturbed(50).snapshot()
    feed(again, 50, 10)
    abandon(again)
    third = opened(tmp_path)
    assert third.snapshot() == undisturbed(60).snapshot()
    third.close()


CHILD = """
import sys, threading, time
from pathlib import Path
from tests.unit.preprocessing.test_journal import feed
from preprocessing.journal import JournaledHistory
history = JournaledHistory(Path(sys.argv[1]))
for number in range(5000):
    feed(history, number, 1)
    print(time.monotonic(), flush=True)
    threading.Event().wait(0.002)
"""


def test_a_kill_costs_at_most_a_second(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert child.stdout is not None
    times = [float(child.stdout.readline())]
    while times[-1] < times[0] + 1.5:
        times.append(float(child.stdout.readline()))
    child.kill()
    times += [float(line) for line in child.stdout.read().splitlines(keepends=True) if "\n" in line]
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    history = opened(tmp_path)
    batches = history.recovery.events // 2
    assert batches >= sum(at < times[-1] - 1.0 for at in times) > 0
    without_last_learn = undisturbed(batches - 1)
    without_last_learn.observe(pair(batches - 1), now_s=NOW_S + batches - 1)
    whole = undisturbed(batches)
    assert history.snapshot() in (whole.snapshot(), without_last_learn.snapshot())
    history.close()


def test_a_torn_end_is_reported_and_costs_one_record(tmp_path: Path) -> None:
    history = opened(tmp_path)
    feed(history, 0, 10)
    abandon(history)
    journal = tmp_path / "journal-00000001"
    journal.write_bytes(journal.read_bytes()[:-3])  # in the last learn
    again = opened(tmp_path)
    assert again.recovery.torn_bytes > 0
    assert again.recovery.damaged == 0
    assert again.recovery.events == 20
    again.close()
    third = opened(tmp_path)
    assert third.recovery.torn_bytes == 0
    third.close()


def test_a_changed_byte_in_a_journal_costs_one_record(tmp_path: Path) -> None:
    history = opened(tmp_path)
    feed(history, 0, 10)
    abandon(history)
    journal = tmp_path / "journal-00000001"
    data = bytearray(journal.read_bytes())
    data[30] ^= 1
    journal.write_bytes(data)
    again = opened(tmp_path)
    assert again.recovery.damaged == 1
    assert again.recovery.events == 18
    again.close()


@pytest.mark.parametrize("at", [0, 8, 40, 200, -1])
def test_a_changed_snapshot_is_refused(tmp_path: Path, at: int) -> None:
    history = opened(tmp_path)
    feed(history, 0, 10)
    history.close()
    snapshot = tmp_path / "snapshot-00000002"
    data = bytearray(snapshot.read_bytes())
    data[at] ^= 1
    snapshot.write_bytes(data)
    with pytest.raises(HistoryDamaged, match=r"snapshot-00000002: .*changed.*; put .* back from"):
        opened(tmp_path)


def test_a_missing_or_foreign_snapshot_is_refused(tmp_path: Path) -> None:
    history = opened(tmp_path)
    feed(history, 0, 10)
    history.close()
    snapshot = tmp_path / "snapshot-00000002"
    kept = snapshot.read_bytes()
    snapshot.unlink()
    with pytest.raises(HistoryDamaged, match="its snapshot is missing"):
        opened(tmp_path)
    snapshot.write_bytes(framed(b"\x92\x02\xa1x") + framed(b"\x91\x63"))
    with pytest.raises(HistoryDamaged, match="format 99, expected"):
        opened(tmp_path)
    snapshot.write_bytes(kept)
    opened(tmp_path).close()


def test_a_crash_while_compacting_loses_nothing(tmp_path: Path) -> None:
    history = opened(tmp_path)
    feed(history, 0, 10)
    history._appender.switch(tmp_path / "journal-00000002")
    feed(history, 10, 10)
    abandon(history)
    (tmp_path / "snapshot-00000002.tmp").write_bytes(b"half a snapsh")
    again = opened(tmp_path)
    assert again.snapshot() == undisturbed(20).snapshot()
    again.close()
    assert names(tmp_path) == ["journal-00000004", "lock", "snapshot-00000004"]


def test_a_crash_while_cleaning_up_loses_nothing(tmp_path: Path) -> None:
    history = opened(tmp_path)
    feed(history, 0, 10)
    history.flush()
    old = {path: path.read_bytes() for path in tmp_path.iterdir() if path.name != "lock"}
    history.close()
    for path, data in old.items():
        path.write_bytes(data)
    again = opened(tmp_path)
    assert again.recovery.events == 0
    assert again.snapshot() == undisturbed(10).snapshot()
    again.close()


def test_a_long_journal_gives_way_to_a_snapshot(tmp_path: Path) -> None:
    history = opened(tmp_path, journal=JournalSettings(most_bytes=2000))
    feed(history, 0, 500)
    abandon(history)
    sizes = [path.stat().st_size for path in tmp_path.glob("journal-*")]
    assert sum(sizes) < 4 * (2000 + len(history.snapshot()))
    again = opened(tmp_path)
    assert 0 < again.recovery.events < 1000
    assert again.snapshot() == undisturbed(500).snapshot()
    again.close()


def test_a_snapshot_that_cannot_be_written_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    history = opened(tmp_path, journal=JournalSettings(most_bytes=2000))
    with monkeypatch.context() as broken:
        broken.setattr("preprocessing.statedir.os.fsync", full)
        feed(history, 0, 200)
        history.close()
    again = opened(tmp_path)
    assert again.recovery.events == 400
    assert again.snapshot() == undisturbed(200).snapshot()
    again.close()


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from preprocessing.journal import *;"
        "h = JournaledHistory(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", script, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdin=pipe, stdout=pipe, cwd=ROOT) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(HistoryLocked, match=rf"in use by process {other.pid}; stop that one"):
            opened(tmp_path)
        waiting = JournalSettings(lock_wait_s=60.0)
        other.kill()
        opened(tmp_path, journal=waiting).close()


def test_a_directory_remembers_what_it_grew_from(tmp_path: Path) -> None:
    base, other = undisturbed(5).snapshot(seen=False), undisturbed(9).snapshot(seen=False)
    first = opened(tmp_path, base=base)
    assert first.recovery.grown_from == hashlib.sha256(base).hexdigest()
    assert first.users == 7
    abandon(first)  # before any compaction
    again = opened(tmp_path, base=other)
    assert again.continues_other_base
    assert again.recovery.grown_from == first.recovery.grown_from
    expected = EmbeddedHistory()
    expected.restore(base)
    assert again.snapshot() == expected.snapshot()
    again.restore(other)
    again.close()
    third = opened(tmp_path, base=base)
    assert not third.continues_other_base
    expected.restore(other)
    assert third.snapshot() == expected.snapshot()
    third.close()


def test_a_base_that_is_none_leaves_the_directory_free(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="not a history snapshot"):
        opened(tmp_path, base=b"nonsense")
    opened(tmp_path).close()


def test_a_closed_history_says_so(tmp_path: Path) -> None:
    history = opened(tmp_path)
    history.close()
    with pytest.raises(HistoryError, match="closed"):
        history.observe([event(1)], now_s=NOW_S)
    with pytest.raises(HistoryError, match="closed"):
        history.learn(["1"])
