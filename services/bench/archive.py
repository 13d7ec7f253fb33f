"""A month of verdicts in quantity: a few thousand real ones again and again, for other people.

Documents, features, baselines and events are as the graph makes them; who, from where and when is
drawn anew, so that users have a few hundred logins a month each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from ensemble.decision import Origin
from ensemble.scorer import Scorer, load_bundle
from preprocessing.event import AuthEvent, decode_lines
from preprocessing.prepare import prepare
from services.wire import Recorded

DAYS = 30
DAY_S = 86_400.0
#: Logins of one user in that time.
USER_EVENTS = 200
#: Verdicts of one transaction: what a busy Recorder writes at once.
BATCH = 20_000
_SCORED_AT_ONCE = 500
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Sample:
    """A real event with what was made of it; ``rest`` is its verdict after event and user id."""

    event: AuthEvent
    rest: bytes
    values: bytes
    evidence: bytes | None
    flagged: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody to ask for: who is on record, and around when."""

    user: str
    address: str
    at_s: float


def samples(bundle: Path, events: Path) -> tuple[list[Sample], str]:
    """Every event of an NDJSON file, scored in order; and the version that did it."""
    loaded = load_bundle(bundle)
    scorer = Scorer(loaded)
    version, found = loaded.manifest.version, []
    decoded = decode_lines(events.read_bytes(), now_s=4e9)
    known = [each for each in decoded if isinstance(each, AuthEvent)]
    for start in range(0, len(known), _SCORED_AT_ONCE):
        found += _scored(scorer, version, known[start : start + _SCORED_AT_ONCE])
    return found, version


def _scored(scorer: Scorer, version: str, events: Sequence[AuthEvent]) -> list[Sample]:
    prepared = prepare(events, scorer.history, scorer.ensemble.spec.lens, now_s=4e9)
    raw = scorer.raw(prepared.views)
    decided = scorer.ensemble.decide(prepared.features, prepared.context, raw, Origin(version))
    scorer.history.learn(decided.learn)
    evidence = prepared.context.evidence
    return [
        Sample(
            event,
            b',"score":' + msgspec.json.encode(verdict).partition(b',"score":')[2],
            prepared.features[row].tobytes(),
            evidence.get(row),
            verdict.is_anomaly,
        )
        for row, (event, verdict) in enumerate(zip(events, decided.verdicts, strict=True))
    ]


class Archive:
    """``rows`` verdicts of the :data:`DAYS` days before ``end_s``, oldest first; the same every
    time for one ``seed``."""

    def __init__(
        self, found: Sequence[Sample], version: str, rows: int, end_s: float, seed: int = 7
    ) -> None:
        self._samples, self._version = found, version
        self.rows, self.end_s = rows, end_s
        self.start_s = end_s - DAYS * DAY_S
        self._seed = seed
        users = len({each.event.user_id for each in found})
        self._copies = max(1, rows // (USER_EVENTS * users))

    def batches(self) -> Iterator[tuple[Recorded, float]]:
        """Verdicts, and when they are recorded."""
        random = np.random.default_rng(self._seed)
        start = 0
        while start < self.rows:
            number = np.arange(start, min(start + BATCH, self.rows))
            stamps = self.start_s + number * (DAYS * DAY_S / self.rows)
            # What is recorded on another day than it happened is looked for on both.
            same_day = stamps // DAY_S == stamps[0] // DAY_S
            number, stamps = number[same_day], stamps[same_day]
            start += len(number)
            which = random.integers(0, len(self._samples), len(number))
            copies = random.integers(0, self._copies, len(number))
            yield self._batch(number, stamps, which, copies), float(stamps[-1])

    def asked(self, count: int) -> list[Asked]:
        """People who are on record, with an address they come from, at random moments."""
        random = np.random.default_rng(self._seed + 1)
        moments = random.uniform(self.start_s + DAY_S, self.end_s - DAY_S, count)
        chosen = []
        for moment in moments:
            sample = self._samples[int(random.integers(0, len(self._samples)))]
            copy = int(random.integers(0, self._copies))
            user, address = _other(sample.event, copy)
            chosen.append(Asked(user, address, float(moment)))
        return chosen

    def _batch(
        self, number: np.ndarray, stamps: np.ndarray, which: np.ndarray, copies: np.ndarray
    ) -> Recorded:
        chosen = [self._samples[index] for index in which.tolist()]
        ids = [f"archive-{each}" for each in number.tolist()]
        people = [_other(each.event, copy) for each, copy in zip(chosen, copies.tolist(),
                                                                 strict=True)]  # fmt: skip
        rows = list(zip(chosen, ids, people, stamps.tolist(), strict=True))
        return Recorded(
            event_ids=ids,
            verdicts=[
                b'{"event_id":"%b","user_id":"%b"%b' % (one.encode(), who[0].encode(), each.rest)
                for each, one, who, _ in rows
            ],
            columns=len(chosen[0].values) // 4,
            values=b"".join(each.values for each in chosen),
            stamps=stamps.astype(np.float64).tobytes(),
            addresses=[address for _, address in people],
            evidence={
                row: each.evidence for row, each in enumerate(chosen) if each.evidence is not None
            },
            alerts=[row for row, each in enumerate(chosen) if each.flagged],
            version=self._version,
            path="",
            events=[_event(each.event, one, who, at_s) for each, one, who, at_s in rows],
        )


def _other(event: AuthEvent, copy: int) -> tuple[str, str]:
    """Another user of the same habits, and where that one comes from."""
    octets = event.source_ip.split(".") if event.source_ip else []
    if len(octets) != 4:
        return f"{event.user_id}.{copy}", event.source_ip or ""
    return f"{event.user_id}.{copy}", f"{copy >> 8 & 255}.{copy & 255}.{octets[2]}.{octets[3]}"


def _event(event: AuthEvent, event_id: str, who: tuple[str, str], at_s: float) -> bytes:
    at = datetime.fromtimestamp(at_s, UTC)
    return _encode(
        msgspec.structs.replace(
            event, event_id=event_id, user_id=who[0], source_ip=who[1] or None, timestamp=at
        )
    )
