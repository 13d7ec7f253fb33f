"""Training data beside the events: labels, and a fingerprint of what was trained on."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from preprocessing.event import AuthEvent, encode_event
from preprocessing.sources import lanl, read_lines
from preprocessing.sources.base import without_bom

REQUIRED = ("event_id", "is_anomaly")
#: What an anomaly without a type is called.
UNTYPED = "anomaly"
_VALUES = {"0": False, "1": True}


class LabelsError(ValueError):
    """Labels that cannot be used: where they are, and what was expected."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name = name
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Labels:
    """What is known to be anomalous; for judging only, scoring never sees it.

    ``types`` maps an event id to its anomaly type, ``None`` for an ordinary event.
    ``rest_ordinary`` says that an event without an entry is ordinary rather than unlabelled.
    ``campaigns`` names the attack to which an anomalous event belongs, ``causes`` the benign oddity
    of an ordinary one; events of neither are left out.
    """

    types: dict[str, str | None]
    rest_ordinary: bool = False
    campaigns: Mapping[str, str] = field(default_factory=dict)
    causes: Mapping[str, str] = field(default_factory=dict)

    @property
    def anomalous(self) -> frozenset[str]:
        """Ids of the anomalous events."""
        return frozenset(event_id for event_id, kind in self.types.items() if kind)

    def knows(self, event_id: str) -> bool:
        return self.rest_ordinary or event_id in self.types


def read_labels(path: str, *, events: str | None = None) -> Labels:
    """Labels of a file: ``labels.csv``, or LANL's list of red-team logons, told by the header.

    The latter has no ids; it is joined with ``events``, the path of LANL's authentication file.
    Raises :class:`LabelsError`, or SourceError where the file cannot be read.
    """
    lines = without_bom(read_lines(path))
    first = next(lines, b"")
    if first.strip().decode("utf-8", "replace") == lanl.REDTEAM_HEADER:
        return _redteam(path, chain([first], lines), events)
    return _of_rows(path, chain([first], lines))


def fingerprint(events: Iterable[AuthEvent], labels: Labels | None = None) -> str:
    """SHA-256 of the events by time and id, and of the ids known to be anomalous.

    Equal for the same training data in any order of the file.
    """
    digest = hashlib.sha256()
    for event in sorted(events, key=lambda event: (event.timestamp, event.event_id)):
        digest.update(encode_event(event) + b"\n")
    for event_id in sorted(labels.anomalous) if labels else ():
        digest.update(f"anomalous {event_id}\n".encode())
    return digest.hexdigest()


def _redteam(path: str, lines: Iterable[bytes], events: str | None) -> Labels:
    if events is None or events == "-":
        raise LabelsError(path, "a red-team list needs --events to be a file, which is read twice")
    joined = lanl.redteam_labels(read_lines(events), lines)
    return Labels(dict(joined), rest_ordinary=True)


class _Row(NamedTuple):
    event_id: str
    kind: str | None
    campaign: str
    cause: str


def _of_rows(path: str, lines: Iterable[bytes]) -> Labels:
    rows = list(_rows(path, lines))
    return Labels(
        {row.event_id: row.kind for row in rows},
        campaigns={row.event_id: row.campaign for row in rows if row.kind and row.campaign},
        causes={row.event_id: row.cause for row in rows if row.cause and not row.kind},
    )


def _rows(path: str, lines: Iterable[bytes]) -> Iterator[_Row]:
    rows = csv.reader(raw.decode("utf-8", "replace") for raw in lines)
    try:
        columns = _columns(path, next(rows, []))
        seen: dict[str, bool] = {}
        for cells in rows:
            if cells:
                row = _label(path, rows.line_num, cells, columns)
                _check_repeated(path, rows.line_num, row.event_id, bool(row.kind), seen)
                yield row
    except csv.Error as error:
        raise LabelsError(path, f"line {rows.line_num}: malformed CSV: {error}") from None


def _columns(path: str, header: list[str]) -> dict[str, int]:
    columns = {name.strip(): index for index, name in enumerate(header)}
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        expected = "expected a header with event_id,is_anomaly and perhaps anomaly_type"
        raise LabelsError(path, f"no column {', '.join(missing)}; {expected}")
    return columns


def _label(path: str, line: int, row: list[str], columns: dict[str, int]) -> _Row:
    cells = {name: row[index].strip() for name, index in columns.items() if index < len(row)}
    event_id, value = cells.get("event_id", ""), cells.get("is_anomaly", "")
    if not event_id:
        raise LabelsError(path, f"line {line}: event_id is empty")
    if value not in _VALUES:
        raise LabelsError(path, f"line {line}: is_anomaly must be 0 or 1, got {value[:40]!r}")
    kind = (cells.get("anomaly_type") or UNTYPED) if _VALUES[value] else None
    return _Row(event_id, kind, cells.get("campaign_id", ""), cells.get("cause", ""))


def _check_repeated(
    path: str, line: int, event_id: str, anomalous: bool, seen: dict[str, bool]
) -> None:
    if seen.setdefault(event_id, anomalous) is not anomalous:
        raise LabelsError(path, f"line {line}: event {event_id!r} was labelled otherwise before")
