"""Searches that are under way: what was asked for, in a folder only their user can read.

A search's folder holds what Ray Tune needs to go on after a kill, pickles among it: nothing but
this command may write there.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from services.commands.inputs import moment, time_zone

PLAN = "search.json"
#: Options that are paths, which must mean the same from any directory.
_PATHS = ("events", "labels")
#: What is no option of a search but of the command.
_NO_OPTION = frozenset({"command", "run", "resume", "anew"})


class Plan(msgspec.Struct, frozen=True):
    """Options as text or numbers, the fingerprint of events and labels, the registry's run."""

    options: dict[str, Any]
    fingerprint: str
    run: str = ""


class NoSearch(FileNotFoundError):
    """There is nothing to resume."""

    def __init__(self, where: str) -> None:
        super().__init__(f"{where}: no search to resume; start one without --resume")


class Unfinished(FileExistsError):
    """A search for the same place was cut off, and nobody said what should become of it."""

    def __init__(self, out: Path) -> None:
        super().__init__(
            f"a search for {out} was cut off: go on with 'ztad tune --resume --out {out}', "
            "or give --anew to forget it"
        )


class UnderWay(FileExistsError):
    """Another process is at this very search."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder}: this search is under way in another process; wait for it")


def folder_of(home: Path, out: Path) -> Path:
    """Where the search with this ``--out`` is kept."""
    name = hashlib.sha256(str(out.absolute()).encode()).hexdigest()[:12]
    return home.absolute() / "tune" / name


def latest(home: Path) -> Path:
    """The folder of the search that was begun last; raises :class:`NoSearch`."""
    plans = sorted((home / "tune").glob(f"*/{PLAN}"), key=lambda plan: plan.stat().st_mtime)
    if not plans:
        raise NoSearch(str(home / "tune"))
    return plans[-1].parent


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """For the block no other process works at the search of ``folder``: two would cut off each
    other's trials. Raises :class:`UnderWay`; a process that was killed is in nobody's way."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnderWay(folder) from None
        yield


def begin(folder: Path, *, anew: bool, out: Path) -> None:
    """Make the folder of a new search; raises :class:`Unfinished` for one that is there."""
    if (folder / PLAN).exists() and not anew:
        raise Unfinished(out)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)


def write(folder: Path, plan: Plan) -> None:
    """Keep a plan; whole or not at all."""
    draft = folder / f".{PLAN}.part"
    draft.write_bytes(msgspec.json.encode(plan))
    draft.replace(folder / PLAN)


def read(folder: Path, out: Path | None) -> Plan:
    """The plan of a folder; raises :class:`NoSearch`."""
    try:
        return msgspec.json.decode((folder / PLAN).read_bytes(), type=Plan)
    except FileNotFoundError:
        raise NoSearch(str(out or folder)) from None


def end(folder: Path) -> None:
    """Forget a search whose outcome is written."""
    shutil.rmtree(folder)


def options_of(args: argparse.Namespace) -> dict[str, Any]:
    """The options of a call as JSON can hold them."""
    return dict(_written(args))


def namespace(plan: Plan, *, minutes: float | None) -> argparse.Namespace:
    """The call that a plan was made from; ``minutes`` replaces its own where given."""
    options = dict(plan.options)
    options["out"] = Path(options["out"])
    options["timezone"] = time_zone(options["timezone"])
    for name in ("since", "until"):
        options[name] = moment(options[name]) if options[name] else None
    if minutes is not None:
        options["minutes"] = minutes
    return argparse.Namespace(**options)


def _written(args: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    for name, value in vars(args).items():
        if name in _NO_OPTION:
            continue
        if name == "timezone":
            yield name, _zone_text(value)
        elif name in ("since", "until"):
            yield name, value.isoformat() if value else None
        elif name in _PATHS:
            yield name, value if value in (None, "-") else str(Path(value).absolute())
        elif isinstance(value, Path):
            yield name, str(value.absolute())
        else:
            yield name, value


def _zone_text(zone: tzinfo) -> str:
    """A time zone as ``--timezone`` takes it."""
    if zone is UTC:
        return "UTC"
    if isinstance(zone, ZoneInfo):
        return zone.key
    seconds = int(zone.utcoffset(None).total_seconds())  # type: ignore[union-attr]
    return f"{'-' if seconds < 0 else '+'}{abs(seconds) // 3600:02}:{abs(seconds) // 60 % 60:02}"
