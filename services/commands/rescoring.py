"""Past events through one or two versions, each with the history that it would have had."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from services.commands.past import Past, Span, StoredPast
from services.storage.errors import StoreError

if TYPE_CHECKING:
    from ensemble.scorer import Scorer
    from ensemble.verdict import Verdict
    from preprocessing.event import AuthEvent

#: What stands for the verdicts that were answered then.
RECORDED = "recorded"
#: Most events scored between two learnings, as everywhere offline.
BATCH = 250
#: Nothing waits longer than this to be learned, seconds of event time: live it is a moment, and a
#: small organisation takes hours for a batch.
LEARN_WITHIN_S = 60.0


class Version:
    """A version that scores the span, and from when on it takes events in.

    It goes on from the history in its bundle. If its training saw the span it begins with an empty
    one instead: it must not know what came later (``forgot``).
    """

    def __init__(self, given: Path) -> None:
        from ensemble.scorer import Scorer, load_bundle
        from services.commands.registering import local_bundle

        bundle = load_bundle(local_bundle(given))
        self.given = str(given)
        self.version = bundle.version
        self.learned = 0
        self.forgot = False
        self._scorer: Scorer = Scorer(bundle)
        self._since_s = 0.0

    @property
    def detectors(self) -> Sequence[str]:
        return tuple(self._scorer.detectors)

    def begin(self, span: Span, warm_s: float) -> float:
        """From when on events have to be given, seconds since the epoch: ``warm_s`` before the
        span, or where the history of the bundle ends."""
        from preprocessing.embedded import EmbeddedHistory

        history = self._scorer.history
        assert isinstance(history, EmbeddedHistory)  # a bundle brings it
        self.forgot = history.newest_s >= span.since_s
        if self.forgot:
            history = self._scorer.history = EmbeddedHistory(history.settings)
        # What the history has already must not be learned twice.
        self._since_s = max(span.since_s - warm_s, history.newest_s + 1e-6)
        return min(self._since_s, span.since_s)

    def score(self, events: list[AuthEvent], span: Span, now_s: float) -> list[Verdict]:
        """The verdicts on those events that are in the span; the others are only learned."""
        taken = [event for event in events if event.timestamp.timestamp() >= self._since_s]
        scored = self._scorer.score(taken, now_s=now_s)
        told = [verdict for event, verdict in zip(taken, scored, strict=True) if _in(event, span)]
        self.learned += len(taken) - len(told)
        return told


class Versions:
    """The version that is tried, and what it is compared with: another, or the record."""

    def __init__(self, bundle: Path, against: str | None, past: Past) -> None:
        from ensemble.comparison import Comparison

        self._record = past if against == RECORDED and isinstance(past, StoredPast) else None
        if against == RECORDED and self._record is None:
            raise StoreError("--against recorded", "a topic has no verdicts", "name a --store")
        self.tried = Version(bundle)
        self.other = Version(Path(against)) if against and not self._record else None
        self.compared = Comparison() if against else None
        self.unrecorded = 0

    @property
    def every(self) -> list[Version]:
        """The versions that score."""
        return [self.tried] if self.other is None else [self.other, self.tried]

    @property
    def names(self) -> tuple[str, str]:
        """What the report calls the one that is compared with, and the one that is tried: their
        versions, with their folders where they are the same."""
        tried, other = self.tried, self.other
        if other is None:
            return RECORDED, tried.version
        if other.version != tried.version:
            return other.version, tried.version
        return f"{other.given} ({other.version})", f"{tried.given} ({tried.version})"

    def begin(self, span: Span, warm_s: float) -> Span:
        """The span with what is to be learned before it."""
        return Span(min(each.begin(span, warm_s) for each in self.every), span.until_s)

    def score(self, batch: list[AuthEvent], span: Span) -> list[Verdict]:
        """The verdicts of the version that is tried on those events of a batch that are in the
        span."""
        now_s = time.time()
        scored = self.tried.score(batch, span, now_s)
        other = self.other.score(batch, span, now_s) if self.other else None
        if self.compared is not None and scored:
            events = [event for event in batch if _in(event, span)]
            self._compare(events, scored, other)
        return scored

    def _compare(
        self, events: list[AuthEvent], scored: list[Verdict], other: list[Verdict] | None
    ) -> None:
        if other is None:
            events, scored, other = self._answered(events, scored)
        assert self.compared is not None
        self.compared.add(events, (other, scored), [None] * len(events))

    def _answered(
        self, events: list[AuthEvent], scored: list[Verdict]
    ) -> tuple[list[AuthEvent], list[Verdict], list[Verdict]]:
        """What was answered then; events of which that is not kept any more are left out."""
        from ensemble.verdict import Verdict

        assert self._record is not None
        kept = self._record.verdicts([event.event_id for event in events])
        decode = msgspec.json.Decoder(Verdict).decode
        rows = [row for row, event in enumerate(events) if event.event_id in kept]
        self.unrecorded += len(events) - len(rows)
        answered = [decode(kept[events[row].event_id]) for row in rows]
        return [events[row] for row in rows], [scored[row] for row in rows], answered


class Told:
    """Counts of what a version said."""

    def __init__(self) -> None:
        self.events = 0
        self.repeated = 0
        self.users: set[str] = set()
        self.severities: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """A repeated event is no second one."""
        for verdict in verdicts:
            self.repeated += verdict.duplicate
            self.events += not verdict.duplicate
            if verdict.is_anomaly and not verdict.duplicate:
                self.users.add(verdict.user_id)
                self.severities[verdict.severity] += 1
                self.reasons[verdict.reasons[0].code] += 1


def batches(events: Iterable[AuthEvent]) -> Iterator[list[AuthEvent]]:
    """The events in lists of at most :data:`BATCH`, none over more than
    :data:`LEARN_WITHIN_S`."""
    batch: list[AuthEvent] = []
    end_s = 0.0
    for event in events:
        at_s = event.timestamp.timestamp()
        if batch and (len(batch) >= BATCH or at_s >= end_s):
            yield batch
            batch = []
        if not batch:
            end_s = at_s + LEARN_WITHIN_S
        batch.append(event)
    if batch:
        yield batch


def _in(event: AuthEvent, span: Span) -> bool:
    return span.since_s <= event.timestamp.timestamp() < span.until_s
