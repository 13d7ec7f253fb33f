"""What every source shares: options in, events or refusals out, one error class for the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Protocol

from preprocessing.event import AuthEvent, InvalidEvent

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What a source cannot know from its lines.

    ``now_s`` is the present in seconds since 1970. ``year`` is that of the first stamp of a log
    whose stamps have none; ``None`` infers it so that the last stamp is not in the future.
    ``timezone`` is that of stamps without an offset.
    """

    now_s: float
    year: int | None = None
    timezone: tzinfo = UTC


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that should have been an event and is not: where, which field, what was expected.

    ``line_number`` counts from 1; in a JSON array it counts the items. ``raw`` is the line.
    """

    line_number: int
    field: str
    message: str
    event_id: str | None
    raw: bytes

    @classmethod
    def of(cls, error: InvalidEvent, line_number: int, raw: bytes) -> Rejected:
        return cls(line_number, error.field, error.message, error.event_id, raw)


@dataclass(slots=True)
class Report:
    """Counts what a source passed over in silence: lines that are no authentication events."""

    skipped: int = 0


Item = AuthEvent | Rejected


class Read(Protocol):
    """A source. Streams: holds no more than a line, and 16 bytes per distinct line for ids.

    Every event that comes out has an ``event_id``. A bad line becomes a :class:`Rejected` in its
    place; only what makes the whole input useless raises, as :class:`SourceError`.
    """

    def __call__(
        self, lines: Iterable[bytes], *, options: SourceOptions, report: Report | None = None
    ) -> Iterator[Item]: ...


class SourceError(ValueError):
    """An input that cannot be read at all: which one, and what is wrong with it."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name = name
        self.problem = problem


class UnknownFormat(SourceError):
    """An input no source recognises, or a format name no source has."""

    def __init__(self, name: str, problem: str, known: Iterable[str]) -> None:
        self.known = tuple(known)
        super().__init__(name, f"{problem}; known formats: {', '.join(self.known)}")


def without_bom(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines, a UTF-8 byte order mark at the very start left out."""
    rest = iter(lines)
    for first in rest:
        yield first.removeprefix(BOM)
        break
    yield from rest
