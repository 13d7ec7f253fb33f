"""What an event costs, and a user holds, as users grow: the same week of ever more companies.

Each size has a process of its own, so that memory is what that many users take: run by
``ztad bench --users`` as ``python -m services.bench.users``, an :class:`Ask` on stdin, a
:class:`Grown` on stdout.
"""

from __future__ import annotations

import gc
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import psutil

from ensemble.scorer import Scorer, load_bundle
from preprocessing import COMPILED
from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent, decode_lines
from preprocessing.history import HistorySettings, UserHistory
from services.bench.machine import calibrate
from services.bench.stages import BATCH, Staged, Stages
from services.bench.subject import BenchError
from services.bench.traffic import of_copy
from services.lean import COLLECT_AFTER

SIZES = (1_000, 10_000, 100_000, 1_000_000)
#: Days that everybody has behind them, and the day after them that events are taken from.
KNOWN_DAYS, MEASURED_DAYS = 4, 1
EVENTS = 40_000
_DAY_S = 86_400.0

Say = Callable[[str], None]


class Ask(msgspec.Struct, frozen=True):
    """About so many ``users``; at least ``events`` of the measured day."""

    bundle: str
    events_file: str
    users: int
    events: int


class Grown(msgspec.Struct, frozen=True):
    """One size. ``known`` events of each user came before; small sizes live in several ``worlds``
    in turn, each with users who know nothing of the others, until enough was measured.

    ``history_bytes`` is what the process grew by, a user, while the known events came, with ids and
    all else that a history remembers; ``rss_mib`` the whole process after it; ``mloops_per_s`` how
    fast the machine was.
    """

    users: int
    known: float
    worlds: int
    staged: Staged
    history_bytes: float
    rss_mib: float
    mloops_per_s: float

    @property
    def events_per_s(self) -> float:
        """Of one core."""
        return 1e6 / self.staged.total_us


def run_users(
    bundle: Path, events: Path, sizes: Sequence[int], count: int, say: Say
) -> list[Grown]:
    """Every size, one after the other. Raises :class:`BenchError`."""
    found = []
    for users in sizes:
        ask = Ask(str(bundle), str(events), users, count)
        done = subprocess.run(
            [sys.executable, "-m", "services.bench.users"],
            input=msgspec.json.encode(ask),
            stdout=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            raise BenchError(f"{users:,} users: failed (exit {done.returncode})")
        grown = msgspec.json.decode(done.stdout, type=Grown)
        say(
            f"{grown.users:,} users: {grown.staged.total_us:.1f} us an event, "
            f"{grown.history_bytes / 1024:.1f} KiB a user, {grown.rss_mib:,.0f} MiB"
        )
        found.append(grown)
    return found


class Company:
    """The people of a file of events: what they did on the known days, and on the measured one."""

    def __init__(self, path: Path) -> None:
        made = [msgspec.json.decode(line) for line in path.read_bytes().splitlines() if line]
        events = sorted(((_at_s(each), each) for each in made), key=lambda each: each[0])
        first = events[0][0] if events else 0.0
        known_until = first + KNOWN_DAYS * _DAY_S
        until = known_until + MEASURED_DAYS * _DAY_S
        self.known = [event for at_s, event in events if at_s < known_until]
        # Of people who are known: at every size the same few would be newcomers otherwise.
        self.people = {event["user_id"] for event in self.known}
        self.measured = [
            event
            for at_s, event in events
            if known_until <= at_s < until and event["user_id"] in self.people
        ]
        if not self.measured:
            raise BenchError(f"{path}: no events of a day after the first {KNOWN_DAYS}")


def grow(ask: Ask) -> Grown:
    """Let everybody live through the known days, then measure the day after."""
    company = Company(Path(ask.events_file))
    copies = max(1, round(ask.users / len(company.people)))
    taken = min(copies, -(-ask.events // len(company.measured)))
    worlds = -(-ask.events // (taken * len(company.measured)))
    bundle = load_bundle(Path(ask.bundle))
    us: list[Staged] = []
    speeds: list[float] = []
    grown_bytes = 0
    for world in range(worlds):
        limit = max(HistorySettings().most_users, 2 * ask.users)
        history = EmbeddedHistory(HistorySettings(most_users=limit))
        before = _rss_bytes()
        _live(history, _bodies(company.known, lambda: range(copies)))
        if world == 0:
            grown_bytes = _rss_bytes() - before
        stages = Stages(Scorer(bundle, history))
        speeds.append(calibrate())
        chosen = random.Random(world)
        for body in _bodies(company.measured, lambda: chosen.sample(range(copies), taken)):  # noqa: B023
            stages.score(body)
        us.append(stages.found())
    users = copies * len(company.people)
    known = len(company.known) / len(company.people)
    memory = (grown_bytes / users, _rss_bytes() / 2**20)
    return Grown(users, known, worlds, _together(us), *memory, statistics.median(speeds))


def _live(history: UserHistory, bodies: Iterable[bytes]) -> None:
    """Observe everything, learn everything."""
    now_s = time.time()
    for body in bodies:
        decoded = decode_lines(body, now_s=now_s)
        events = [each for each in decoded if isinstance(each, AuthEvent)]
        history.observe(events, now_s=now_s)
        history.learn([event.event_id for event in events])


def _bodies(
    events: Sequence[dict[str, Any]], copies: Callable[[], Iterable[int]]
) -> Iterator[bytes]:
    """Events of the same moment for some copies of the company each, in batches of NDJSON."""
    lines: list[bytes] = []
    for event in events:
        for copy in copies():
            of_one = of_copy(event, copy, "c") | {"event_id": f"{event['event_id']}.{copy}"}
            lines.append(msgspec.json.encode(of_one))
            if len(lines) == BATCH:
                yield b"\n".join(lines)
                lines.clear()
    if lines:
        yield b"\n".join(lines)


def _together(parts: Sequence[Staged]) -> Staged:
    """Several measurements as one, each by its events."""
    events = sum(each.events for each in parts)

    def mean(value: Callable[[Staged], float]) -> float:
        return sum(value(each) * each.events for each in parts) / events

    us = {stage: mean(lambda each: each.us[stage]) for stage in parts[0].us}  # noqa: B023
    evidence, wall_us = mean(lambda each: each.evidence), mean(lambda each: each.wall_us)
    return Staged(events, COMPILED, evidence, us, wall_us)


def _at_s(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["timestamp"]).timestamp()


def _rss_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def main() -> int:
    """Read what is asked, write what was found."""
    gc.set_threshold(*COLLECT_AFTER)  # as where it is served
    ask = msgspec.json.decode(sys.stdin.buffer.read(), type=Ask)
    try:
        found = grow(ask)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    sys.stdout.buffer.write(msgspec.json.encode(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
