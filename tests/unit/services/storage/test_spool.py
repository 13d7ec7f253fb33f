"""services/storage/spool.py: what was written is read again, whatever happened to the files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from services.storage import spool as spools
from services.storage.errors import StoreError
from services.storage.spool import Spool, waiting_bytes
from services.wire import Recorded
from tests.unit.services.storage.batches import batch, encoded, evidence_of, verdict

ROOM = 1 << 20


def ids(batches: list[Recorded]) -> list[str]:
    return [event_id for each in batches for event_id in each.event_ids]


def drained(spool: Spool) -> list[Recorded]:
    """Everything, as the store would get it."""
    batches = []
    while spool.segments:
        batches += spool.oldest()
        spool.drop_oldest()
    return batches


def filled(folder: Path, *names: str) -> Spool:
    """A spool with one call for each of these events."""
    spool = Spool(folder, ROOM, forced=False)
    for name in names:
        spool.append([batch(verdict(name))])
    return spool


@pytest.mark.parametrize("forced", [True, False])
def test_what_was_put_comes_out_in_order(tmp_path: Path, forced: bool) -> None:
    first = batch(
        verdict("a"), verdict("b", "high"), evidence={1: evidence_of("b")}, traces={1: "t"}
    )
    spool = Spool(tmp_path / "spool", ROOM, forced=forced)
    assert (spool.verdicts, spool.size_bytes, spool.since_s) == (0, 0, None)
    spool.append([first, batch(verdict("c"), shadow=True)])
    spool.append([batch(verdict("d"))])
    assert spool.verdicts == 4
    assert spool.since_s is not None
    assert spool.size_bytes == waiting_bytes(tmp_path / "spool")
    batches = drained(spool)
    assert batches[0] == first
    assert ids(batches) == ["a", "b", "c", "d"]
    assert list((tmp_path / "spool").iterdir()) == []
    spool.sync()
    spool.close()


def test_what_was_put_is_there_for_the_next_process(tmp_path: Path) -> None:
    filled(tmp_path, "a", "b")  # as after kill -9: nobody closed it
    spool = Spool(tmp_path, ROOM, forced=False)
    assert (spool.verdicts, spool.damaged) == (2, 0)
    spool.append([batch(verdict("c"))])
    assert set(spool.find(["a", "c", "x"])) == {"a", "c"}
    assert ids(drained(spool)) == ["a", "b", "c"]


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    filled(tmp_path, "a")
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_segments_are_drained_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spools, "SEGMENT_BYTES", 1)
    spool = filled(tmp_path, "a", "b", "c")
    assert spool.segments == 3
    assert ids(spool.oldest()) == ["a"]
    assert ids(spool.oldest()) == ["a"]  # until it is dropped
    assert spool.drop_oldest() == 1
    spool.append([batch(verdict("d"))])
    assert ids(drained(spool)) == ["b", "c", "d"]
    assert spool.oldest() == []
    assert spool.drop_oldest() == 0


def test_the_first_verdict_of_an_event_is_found(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOM, forced=False)
    early, late = verdict("a", score=0.1), verdict("a", score=0.9)
    spool.append([batch(early, shadow=True)])
    spool.append([batch(verdict("z"), early), batch(late)])
    spool.append([batch(late)])
    found = spool.find(["a"])["a"]
    assert found.verdicts[found.row("a")] == encoded(early)
    assert not found.shadow
    assert spool.find([]) == {}


def test_a_full_spool_takes_nothing_more(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 3000, forced=False)
    taken = 0
    while spool.size_bytes < 2000:
        spool.append([batch(verdict(f"e{taken}"))])
        taken += 1
    with pytest.raises(StoreError, match=r"full.*most_spool_bytes"):
        spool.append([batch(*(verdict(f"f{number}") for number in range(10)))])
    assert spool.size_bytes <= 3000
    assert ids(drained(spool)) == [f"e{number}" for number in range(taken)]
    spool.append([batch(verdict("again"))])
    assert ids(drained(spool)) == ["again"]


@pytest.mark.parametrize("fails", ["write", "fdatasync"])
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    spool = Spool(tmp_path, ROOM, forced=True)
    spool.append([batch(verdict("a"))])
    write, left = os.write, [10]

    def full(file: int, data: bytes = b"") -> int:
        if fails == "fdatasync" or not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[: left.pop()])

    with monkeypatch.context() as patch:
        patch.setattr(os, fails, full)
        with pytest.raises(StoreError, match="No space left"):
            spool.append([batch(verdict("b"))])
    spool.append([batch(verdict("c"))])
    assert set(spool.find(["a", "b", "c"])) == {"a", "c"}
    assert ids(drained(Spool(tmp_path, ROOM, forced=True))) == ["a", "c"]


def test_a_torn_end_is_left_out(tmp_path: Path) -> None:
    filled(tmp_path, "a", "b")
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    spool = Spool(tmp_path, ROOM, forced=False)
    assert (spool.verdicts, spool.damaged) == (1, 1)
    assert spool.find(["b"]) == {}
    assert ids(drained(spool)) == ["a"]


@pytest.mark.parametrize("place", [2, 10, 17, 30, 200])
def test_a_flipped_byte_costs_the_frame_it_is_in(tmp_path: Path, place: int) -> None:
    filled(tmp_path, "a", "b", "c")
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    middle = len(content) // 3
    content[middle + place] ^= 0x40
    file.write_bytes(content)
    spool = Spool(tmp_path, ROOM, forced=False)
    assert (spool.verdicts, spool.damaged) == (2, 1)
    assert set(spool.find(["a", "b", "c"])) == {"a", "c"}
    assert ids(drained(spool)) == ["a", "c"]


def test_what_is_damaged_after_it_was_written_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = filled(tmp_path, "a", "b")
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"nothing of ours" * 10)
    assert spool.oldest() == []
    assert spool.damaged == 1
    assert "2 verdicts are lost" in caplog.text
    file.unlink()
    assert spool.find(["a"]) == {}
    assert spool.oldest() == []
    assert spool.drop_oldest() == 2


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "spool").write_bytes(b"")
    with pytest.raises(StoreError, match="spool"):
        Spool(tmp_path / "spool", ROOM, forced=False)
