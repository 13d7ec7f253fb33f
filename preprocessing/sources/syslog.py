"""Syslog lines as rsyslog and journald write them: stamp, host, program[pid]: message.

The traditional stamp (``Mar  7 09:01:02``) has no year and no zone. :class:`Calendar` supplies
both; the year grows when the months start again.
"""

from __future__ import annotations

import re
from calendar import isleap
from collections.abc import Iterable
from datetime import UTC, datetime

from preprocessing.event import MAX_AHEAD_S, InvalidEvent
from preprocessing.sources.base import SourceOptions

_LINE = re.compile(
    r"(?:<\d{1,3}>)?"
    r"(?P<stamp>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)?|\d{4}-\d\d-\d\d[T ]\S+)"
    r" (?P<host>\S+)(?: (?P<program>[^\s\[:]+)(?:\[(?P<pid>\d+)\])?:(?= |$))? ?(?P<message>.*)",
    re.DOTALL,
)
_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: number for number, name in enumerate(_NAMES, start=1)}
_STAMP = re.compile(rb"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d")
#: Months back that mean a new year; fewer are lines that came out of order.
_ROLL_OVER_MONTHS = 6
_EXPECTED = "expected a stamp such as 'Mar  7 09:01:02' or RFC 3339"


def split(line: str) -> tuple[str, str, str, str, str] | None:
    """``(stamp, host, program, pid, message)``, absent parts empty; ``None`` if no syslog line.

    >>> split("Mar  7 09:01:02 web1 sshd[12]: Server listening on :: port 22.")
    ('Mar  7 09:01:02', 'web1', 'sshd', '12', 'Server listening on :: port 22.')
    """
    at = _LINE.match(line)
    if at is None:
        return None
    stamp, host, program, pid, message = at.groups(default="")
    return stamp, host, program, pid, message


def infer_year(lines: Iterable[bytes], options: SourceOptions) -> int | None:
    """The year of the first year-less stamp, so that the last one is not in the future of now.

    Reads all lines. ``None`` if no stamp lacks a year.
    """
    days, last = _Days(), b""
    leaps: set[int] = set()
    for line in lines:
        if not _STAMP.match(line):
            continue
        if line[:6] == last[:6] or days.see(line[:6]) == 0:
            last = line[:15]
        if last[:6] == b"Feb 29":
            leaps.add(days.years)
    try:
        latest = _latest_year(last.decode(), options, years_on=days.years) if last else None
    except InvalidEvent:  # no such day: its line will be refused, with the reason
        return None
    return None if latest is None else _leap(latest - days.years, leaps)


def _leap(first: int, leaps: set[int]) -> int:
    """The latest first year, not after ``first``, that lets every 29 February seen exist."""
    fitting = (y for y in range(first, first - 8, -1) if all(isleap(y + k) for k in leaps))
    return next(fitting, first)


class Calendar:
    """Stamps of one log, in order -> aware times."""

    def __init__(self, options: SourceOptions) -> None:
        self._options = options
        self._first = options.year
        self._days = _Days()
        self._last: tuple[str, datetime] | None = None

    def date(self, stamp: str) -> datetime:
        """The stamp as an aware time; raises InvalidEvent on ``timestamp``."""
        if self._last is None or self._last[0] != stamp:
            try:
                when = self._iso(stamp) if stamp[:1].isdigit() else self._yearless(stamp)
            except ValueError as error:
                problem = error.message if isinstance(error, InvalidEvent) else _EXPECTED
                raise InvalidEvent("timestamp", f"{problem}, got {stamp[:40]!r}") from None
            self._last = stamp, when
        return self._last[1]

    def _iso(self, stamp: str) -> datetime:
        when = datetime.fromisoformat(stamp)
        return when if when.tzinfo else when.replace(tzinfo=self._options.timezone)

    def _yearless(self, stamp: str) -> datetime:
        back = self._days.see(stamp[:6].encode())
        if back is None:
            raise ValueError(stamp)
        if self._first is None:
            self._first = _latest_year(stamp, self._options)
        year = self._first + self._days.years - back
        try:
            return _at(stamp, year, self._options)
        except ValueError:
            raise InvalidEvent("timestamp", f"no such time in {year}; is the year right?") from None


class _Days:
    """Counts how often the months started again."""

    def __init__(self) -> None:
        self.years = 0
        self._month = 0

    def see(self, day: bytes) -> int | None:
        """Note ``Mar  7``; how many years it lies behind the count, ``None`` if it is no day."""
        month = _MONTHS.get(day[:3].decode("ascii", "replace"))
        if month is None or not day[4:].strip().isdigit():
            return None
        if self._month - month >= _ROLL_OVER_MONTHS:
            self.years += 1
        elif self.years and self._month == 1 and month == 12:
            return 1  # a December line that came late, just after the turn of the year
        self._month = month
        return 0


def _latest_year(stamp: str, options: SourceOptions, *, years_on: int = 0) -> int:
    """The latest year that puts ``stamp`` no more than a day (zones differ) after now.

    29 February goes back to a leap year. ``years_on`` turns of the year lie before it.
    """
    latest = options.now_s + MAX_AHEAD_S
    this = datetime.fromtimestamp(latest, UTC).year + 1
    for year in range(this, max(this - 10, years_on), -1):
        try:
            if _at(stamp, year, options).timestamp() <= latest:
                return year
        except ValueError:
            continue
    raise InvalidEvent("timestamp", _EXPECTED)


def _at(stamp: str, year: int, options: SourceOptions) -> datetime:
    month = _MONTHS[stamp[:3]]
    seconds, _, fraction = stamp[13:].partition(".")
    return datetime(
        year,
        month,
        int(stamp[4:6]),
        int(stamp[7:9]),
        int(stamp[10:12]),
        59 if seconds == "60" else int(seconds),  # a leap second is the last one of its minute
        int(fraction[:6].ljust(6, "0")) if fraction else 0,
        tzinfo=options.timezone,
    )
