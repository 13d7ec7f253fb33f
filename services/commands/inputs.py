"""What ``train``, ``score`` and ``evaluate`` share: which events to read, and reading them."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from preprocessing.event import AuthEvent
from preprocessing.sources import (
    FORMATS,
    Rejected,
    Report,
    SourceError,
    SourceOptions,
    open_events,
)
from services.progress import counting

_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
#: Events between two movements of the progress bar.
_EVERY = 250


def add_input_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """``--events`` and what says how to read them."""
    group = parser.add_argument_group("events to read")
    group.add_argument(
        "--events", required=required, metavar="IN", help="a file, .gz too; - for stdin"
    )
    group.add_argument("--format", choices=FORMATS, default="auto", help="default: recognise it")
    group.add_argument("--year", type=_year, help="of the first stamp, for logs without years")
    group.add_argument(
        "--timezone", type=time_zone, default=UTC, metavar="ZONE",
        help="of stamps without an offset: Europe/Berlin, +02:00; default UTC",
    )  # fmt: skip
    group.add_argument(
        "--from", dest="since", type=moment, metavar="TIME",
        help="leave out events before this time (RFC 3339)",
    )  # fmt: skip
    group.add_argument(
        "--until", type=moment, metavar="TIME", help="leave out events at this time or later"
    )


@dataclass(slots=True)
class Counts:
    """What became of the lines: ``outside`` the asked time, ``rejected``, or ``events``."""

    events: int = 0
    outside: int = 0
    rejected: int = 0
    first_rejected: Rejected | None = None
    report: Report = field(default_factory=Report)

    @property
    def refusals(self) -> str:
        """One line about the rejected lines, empty if there are none."""
        first = self.first_rejected
        if first is None:
            return ""
        where = f"line {first.line_number}: {first.field}: {first.message}"
        lines = "line" if self.rejected == 1 else "lines"
        return f"{self.rejected:,} {lines} rejected; the first, {where}"


def options_of(args: argparse.Namespace) -> SourceOptions:
    return SourceOptions(now_s=time.time(), year=args.year, timezone=args.timezone)


def read_events(
    args: argparse.Namespace,
    counts: Counts,
    *,
    doing: str,
    rejected: Callable[[Rejected], None] = lambda _: None,
) -> Iterator[AuthEvent]:
    """The events asked for, one by one, with progress on stderr; bad lines go to ``rejected``.

    Raises SourceError for an input that cannot be read.
    """
    items = open_events(
        args.events, format=args.format, options=options_of(args), report=counts.report
    )
    since, until = _seconds(args.since), _seconds(args.until)
    with counting(doing) as bar:
        for item in items:
            if isinstance(item, Rejected):
                counts.first_rejected = counts.first_rejected or item
                counts.rejected += 1
                rejected(item)
            elif _within(item, since, until):
                counts.events += 1
                if counts.events % _EVERY == 0:
                    bar.advance(_EVERY)
                yield item
            else:
                counts.outside += 1
        bar.advance(counts.events % _EVERY)


def all_events(args: argparse.Namespace, counts: Counts) -> list[AuthEvent]:
    """Every event asked for; raises SourceError if there is none, saying why."""
    events = list(read_events(args, counts, doing="reading events"))
    if not events:
        raise SourceError(input_name(args.events), _why_none(counts))
    if counts.refusals:
        print(counts.refusals, file=sys.stderr)
    return events


def input_name(path: str) -> str:
    return "standard input" if path == "-" else path


def _why_none(counts: Counts) -> str:
    """Why an input has no event; it is not empty, or it would have been refused before."""
    if counts.refusals:
        return f"no usable event: {counts.refusals}"
    if counts.outside:
        return f"none of its {counts.outside:,} events lies between --from and --until"
    if counts.report.skipped:
        return f"none of its {counts.report.skipped:,} lines is an authentication event"
    return "no event, only a header"


def moment(text: str) -> datetime:
    """An RFC 3339 time with an offset, or a date, which begins at 00:00 UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or (at.tzinfo is None and len(text) > len("2026-11-22")):
        message = f"{text!r}: expected RFC 3339 with an offset, such as 2026-11-22T08:15:00Z"
        raise argparse.ArgumentTypeError(message)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def time_zone(text: str) -> tzinfo:
    """``UTC``, a fixed offset or a name of the time zone database."""
    if text.upper() in ("UTC", "Z"):
        return UTC
    offset = _OFFSET.fullmatch(text)
    if offset:
        sign, hours, minutes = offset.groups()
        ahead = timedelta(hours=int(hours), minutes=int(minutes))
        if ahead < timedelta(days=1):
            return timezone(-ahead if sign == "-" else ahead)
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = f"unknown time zone {text!r}; expected one like Europe/Berlin, +02:00 or UTC"
        raise argparse.ArgumentTypeError(message) from None


def _year(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 2000 <= int(text) <= 9999):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a year from 2000 on")
    return int(text)


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _within(event: AuthEvent, since: float | None, until: float | None) -> bool:
    if since is None and until is None:
        return True
    at_s = event.timestamp.timestamp()
    return (since is None or at_s >= since) and (until is None or at_s < until)
