"""Reports that are kept, one file each, and what has changed since the last of a kind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from services.bench.machine import cpu_model
from services.bench.rows import Row

#: Speeds of machines that are farther apart than this explain a difference by themselves.
ALIKE = 0.1


class Machine(msgspec.Struct, frozen=True):
    """What a report was measured on; its speed as ``machine.calibrate`` tells it."""

    cores: int
    cpu: str
    mloops_per_s: float


class KeptRow(msgspec.Struct, frozen=True):
    """A row of a table, without the runs behind it."""

    what: str
    unit: str
    median: float
    worst: float
    more_is_better: bool


class Kept(msgspec.Struct, frozen=True):
    """A report: ``kind`` is the bench it comes from, ``found`` everything else that it found."""

    kind: str
    release: str
    started: str
    machine: Machine
    rows: list[KeptRow]
    found: Any = None


class Change(msgspec.Struct, frozen=True):
    """One row then and now; None where it was not measured."""

    what: str
    unit: str
    old: float | None
    new: float | None
    more_is_better: bool

    @property
    def ratio(self) -> float | None:
        """New as a multiple of old."""
        if self.old is None or self.new is None or self.old == 0:
            return None
        return self.new / self.old

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` by more than a tenth, or than none at all; else nothing."""
        if self.old is None or self.new is None or abs(self.new - self.old) <= ALIKE * self.old:
            return ""
        return "better" if (self.new > self.old) == self.more_is_better else "worse"


def kept(kind: str, started: str, speed: float, rows: Sequence[Row], found: Any = None) -> Kept:
    """A report of this machine and these sources."""
    return Kept(
        kind=kind,
        release=release(),
        started=started,
        machine=Machine(os.cpu_count() or 1, cpu_model(), round(speed, 1)),
        rows=[
            KeptRow(row.what, row.unit, row.median, row.worst, row.more_is_better) for row in rows
        ],
        found=found,
    )


def keep(folder: Path, report: Kept) -> Path:
    """Write a report into a folder, under a name that says what it is of."""
    moment = report.started.partition("+")[0].replace(":", "").replace("-", "")
    path = folder / f"{report.kind}-{report.release}-{moment}.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    return path


def keep_and_compare(folder: Path, report: Kept, console: Console) -> Path:
    """Write a report, and print what has changed since the last of its kind."""
    before = last(folder, report.kind)
    if before is not None:
        console.print(changes_table(before, report))
    return keep(folder, report)


def last(folder: Path, kind: str) -> Kept | None:
    """The newest report of a kind; a file that is none is passed over."""
    found = [each for each in _readable(folder) if each.kind == kind]
    return max(found, key=lambda each: each.started, default=None)


def _readable(folder: Path) -> Iterator[Kept]:
    for path in folder.glob("*.json"):
        try:
            yield msgspec.json.decode(path.read_bytes(), type=Kept)
        except msgspec.DecodeError:
            continue


def changes(old: Kept, new: Kept) -> list[Change]:
    """Row by row in the new report's order, then what is measured no more."""
    then = {row.what: row for row in old.rows}
    now = {row.what: row for row in new.rows}
    found = []
    for what in [*now, *(each for each in then if each not in now)]:
        before, after = then.get(what), now.get(what)
        row = after or then[what]
        medians = (before.median if before else None, after.median if after else None)
        found.append(Change(what, row.unit, *medians, row.more_is_better))
    return found


def caveat(old: Machine, new: Machine) -> str:
    """Why two reports cannot be compared as they stand; empty when they can."""
    if (old.cores, old.cpu) != (new.cores, new.cpu):
        return f"another machine: {old.cores} x {old.cpu} then, {new.cores} x {new.cpu} now"
    ratio = new.mloops_per_s / old.mloops_per_s if old.mloops_per_s else 0.0
    if abs(ratio - 1) > ALIKE:
        return (
            f"the machine ran at {ratio:.2f} times its speed of then "
            f"({old.mloops_per_s:.0f} and {new.mloops_per_s:.0f} Mloops/s)"
        )
    return ""


def changes_table(old: Kept, new: Kept) -> Table:
    """What changed between two reports."""
    table = Table(
        title=f"since {old.release} of {old.started}", caption=caveat(old.machine, new.machine)
    )
    for name in ("what", "then", "now", "unit", "now / then", ""):
        table.add_column(name, justify="left" if name in ("what", "unit", "") else "right")
    for each in changes(old, new):
        ratio = "-" if each.ratio is None else f"{each.ratio:.2f}"
        told = ["-" if value is None else f"{value:,.4g}" for value in (each.old, each.new)]
        table.add_row(each.what, *told, each.unit, ratio, each.verdict)
    return table


def release() -> str:
    """What git calls these sources, or the version that is installed."""
    done = subprocess.run(
        ["git", "describe", "--always", "--tags", "--dirty"],
        cwd=Path(__file__).parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return done.stdout.strip()
    try:
        return version("ztad")
    except PackageNotFoundError:
        return "unknown"
