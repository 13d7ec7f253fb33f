"""What travels between deployments: few objects, one contiguous payload per hop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Framing = Literal["events", "array", "lines"]
"""How a payload holds events: one JSON object per part, one JSON array, or NDJSON."""


@dataclass(frozen=True, slots=True)
class ItemError:
    """Why one item of a payload was refused; ``index`` is its place among the items."""

    index: int
    event_id: str | None
    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Payload:
    """Raw events on their way to the Preprocessor, and what the baseline may learn by the way."""

    parts: list[bytes]
    framing: Framing
    learn: list[str]


@dataclass(frozen=True, slots=True)
class Features:
    """The Preprocessor's answer. ``values`` is float32 (rows, columns) as bytes.

    ``rows`` gives each row's place among the ``items`` of the payload; the other places are in
    ``errors``. ``duplicates`` maps a row to its repeated event id. ``refused`` is set instead when
    the payload as a whole cannot be taken.
    """

    items: int = 0
    columns: int = 0
    values: bytes = b""
    context: bytes = b""
    rows: list[int] = field(default_factory=list)
    event_ids: list[str] = field(default_factory=list)
    errors: list[ItemError] = field(default_factory=list)
    duplicates: dict[int, str] = field(default_factory=dict)
    refused: ItemError | None = None

    def matrix(self) -> NDArray[np.float32]:
        """The feature values, float32 (rows, columns); read-only."""
        return np.frombuffer(self.values, np.float32).reshape(len(self.rows), self.columns)


@dataclass(frozen=True, slots=True)
class Judged:
    """The Combiner's answer: one encoded verdict per row, and the ids that may be learned."""

    verdicts: list[bytes]
    learn: list[str]
    alerts: int
    degraded: bool


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the Recorder keeps of a batch: ids, encoded verdicts, feature rows as float32 bytes."""

    event_ids: list[str]
    verdicts: list[bytes]
    columns: int
    values: bytes
