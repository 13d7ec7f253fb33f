"""From drafts to events and labels, and from those to CSV files."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from tuning.synthetic.draft import Draft, Value, lose_fields

EVENT_COLUMNS = (
    "event_id",
    "timestamp",
    "user_id",
    "outcome",
    "action",
    "auth_kind",
    "source_ip",
    "country",
    "city",
    "latitude",
    "longitude",
    "asn",
    "device_id",
    "user_agent",
    "session_id",
    "auth_method",
    "mfa",
    "resource",
    "bytes_transferred",
    "failed_attempts",
)
LABEL_COLUMNS = ("event_id", "is_anomaly", "anomaly_type", "campaign_id", "cause")

Row = dict[str, Value]


def finished(
    drafts: Iterable[Draft],
    rng: random.Random,
    *,
    id_prefix: str,
    stamp_offsets: Mapping[str, float],
) -> tuple[list[Row], list[Row]]:
    """Events and labels in order of time; ids count upwards, so they tell nothing.

    `stamp_offsets` gives the hours from UTC in which a user's source writes its timestamps.
    """
    events: list[Row] = []
    labels: list[Row] = []
    for ordinal, draft in enumerate(sorted(drafts, key=lambda draft: draft.at)):
        event_id = f"{id_prefix}-{ordinal:07d}"
        lose_fields(draft, rng)
        stamp = timestamp(draft.at, stamp_offsets.get(draft.user_id, 0.0))
        row: Row = {"event_id": event_id, "timestamp": stamp, "user_id": draft.user_id}
        row |= {name: draft.fields[name] for name in EVENT_COLUMNS if name in draft.fields}
        events.append(row)
        labels.append(
            {
                "event_id": event_id,
                "is_anomaly": int(bool(draft.label)),
                "anomaly_type": draft.label or "normal",
                "campaign_id": draft.campaign,
                "cause": "" if draft.label else draft.cause,
            }
        )
    return events, labels


def timestamp(at: float, offset_h: float) -> str:
    """RFC 3339 with milliseconds, `Z` for UTC."""
    zone = timezone(timedelta(hours=offset_h)) if offset_h else UTC
    moment = datetime.fromtimestamp(round(at, 3), zone)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Rows as CSV; a missing field is an empty cell, truth is `true` or `false`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_cell(row.get(column, "")) for column in columns])


def _cell(value: Value) -> Value:
    return str(value).lower() if isinstance(value, bool) else value
