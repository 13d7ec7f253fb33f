"""The one orchestration of the graph, for every entrance: a star around whoever calls it.

preprocess -> every detector at once -> combine; each call has a deadline and carries the events of
every version that answers. A detector that fails or is late is left out (``degraded``). Pure stages
are retried; the Preprocessor is waited for, since callers would rather be late than refused.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.base import View
from services.detecting import Detectors, Scores
from services.recording import Call, QueueFull, Receipt, RecordQueue, called, confirmed
from services.records import recorded
from services.repeats import Repeats, Settled
from services.routing import Live, Routing
from services.shadow import Shadow
from services.storage.base import Kept
from services.telemetry import NO_TRACING, Tracing, noted
from services.wire import Case, Features, Framing, ItemError, Judged, Part, Payload

LOG = logging.getLogger("ztad.pipeline")

#: How often what may be learned leaves when no batch takes it along, seconds.
FLUSH_S = 0.5
#: Callers wait this long for a Preprocessor or Combiner that is being replaced, seconds.
STAGE_DEADLINE_S = 5.0
#: Pause between attempts at a stage that is being replaced, seconds.
RETRY_PAUSE_S = 0.1
#: The same once a deadline has passed and a patient caller waits on.
PATIENT_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Stages:
    """The remote methods that the pipeline calls; those of the shadow run beside the others.

    ``sees`` tells what a detector sees of events, features where it says nothing.
    """

    prepare: Call
    learn: Call
    probe: Call
    detectors: Mapping[str, Call]
    judge: Call
    shadow_detectors: Mapping[str, Call]
    shadow_judge: Call
    record: Call
    first: Call
    sees: Mapping[str, View] = field(default_factory=dict)


class StageUnavailable(RuntimeError):
    """A stage without which there is no verdict did not answer in time."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(f"{stage} is not available: {reason}")
        self.stage = stage


@dataclass(frozen=True, slots=True)
class Prepared:
    """A payload that the history has taken in; ``retried`` when it was sent there twice."""

    features: Features
    retried: bool


@dataclass(frozen=True, slots=True)
class Tally:
    """What one version made of its events of a payload."""

    live: Live
    judged: Judged


@dataclass(slots=True)
class Scored:
    """Answers in the order of the items: an encoded verdict, or the error in its place."""

    answers: list[bytes | ItemError]
    refused: ItemError | None = None
    duplicates: int = 0
    ordinary: int = 0
    """Events that were neither flagged nor repeated."""
    alone: bool = False
    """Whether the history could not be asked what others know."""
    tallies: list[Tally] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    """Of the batches with these verdicts, if whoever asked wants them confirmed."""

    async def confirmed(self) -> None:
        """Wait until all verdicts are on record, if that was asked for.

        Raises ``services.recording.NotConfirmed`` when they are not soon, ``Unrecordable``.
        """
        await confirmed(self.receipts)

    @property
    def alerts(self) -> int:
        """How many events were flagged."""
        return sum(len(tally.judged.alerts) for tally in self.tallies)

    @property
    def degraded(self) -> bool:
        """Whether a detector was missing."""
        return any(tally.judged.degraded for tally in self.tallies)


class Pipeline:
    """Scores payloads; carries what may be learned to the next call of the Preprocessor.

    ``routing`` says who judges; whoever owns it replaces it at any time, and every payload is
    judged by the one it began with. ``transient`` are the errors of a replica that died or cannot
    be reached: the call may be made again. A ``patient`` pipeline waits for such a stage, and for
    room among the verdicts that wait for the Recorder, however long it takes: it never raises
    :class:`StageUnavailable` or ``QueueFull``. ``durable`` says whether verdicts are to be
    confirmed where nobody says anything else. Not thread-safe; one per event loop.
    """

    def __init__(
        self,
        stages: Stages,
        routing: Routing,
        *,
        transient: tuple[type[Exception], ...] = (),
        tracing: Tracing = NO_TRACING,
        patient: bool = False,
        durable: bool = False,
    ) -> None:
        self.routing = routing
        self._patient = patient
        self._durable = durable
        self._stages = stages
        self._transient: tuple[type[Exception], ...] = (*transient, TimeoutError)
        self._tracing = tracing
        #: Set once the routing is the one on record; until then payloads wait for it.
        self.settled = asyncio.Event()
        self._learn: list[str] = []
        self._queue = RecordQueue(stages.record)
        self._repeats = Repeats(self._queue, stages.first, self._transient)
        self._detectors = Detectors(stages.detectors, stages.sees, self._canned, self._transient)
        self.shadow = Shadow(stages.shadow_detectors, stages.sees, stages.shadow_judge, self._queue)
        #: Calls made again because the first was not answered, by stage.
        self.retries: Counter[str] = self._detectors.retries

    async def score(
        self,
        parts: list[bytes],
        framing: Framing,
        trace_ids: Callable[[int], Sequence[str]],
        parents: Callable[[int], Mapping[int, str]] = lambda items: {},
        *,
        durable: bool | None = None,
    ) -> Scored:
        """Score the events of one payload: :meth:`prepare`, then :meth:`judge`; with ``durable``
        the answers are :meth:`Scored.confirmed`."""
        prepared = await self.prepare(parts, framing)
        scored = await self.judge(prepared, trace_ids, parents, durable=durable)
        await scored.confirmed()
        return scored

    async def prepare(
        self, parts: list[bytes], framing: Framing, ids: Sequence[str] = ()
    ) -> Prepared:
        """Have the history take in the events of one payload, after those of all before it.

        ``ids``, one a part, name the events that have no id of their own. Raises
        :class:`StageUnavailable`, and ``services.recording.QueueFull`` while verdicts have to wait
        for the store; bad events are answers, never exceptions.
        """
        if self._queue.full:
            await self._until_room()
        if not self.settled.is_set():
            await self._until_settled()
        learn, self._learn = self._learn, []
        attempts: list[int] = []
        payload = Payload(parts, framing, learn, self._watched(), ids)
        try:
            with self._tracing.span("ztad.preprocess", framing=framing):
                features: Features = await self._until(
                    "preprocessor", self._stages.prepare, payload, attempts=attempts
                )
        except BaseException:
            self._learn = learn + self._learn
            raise
        return Prepared(features, len(attempts) > 1)

    async def judge(
        self,
        prepared: Prepared,
        trace_ids: Callable[[int], Sequence[str]],
        parents: Callable[[int], Mapping[int, str]] = lambda items: {},
        *,
        durable: bool | None = None,
    ) -> Scored:
        """Verdicts of a payload that was prepared; they are on their way to the Recorder then, and
        with ``durable`` can be waited for (:meth:`Scored.confirmed`).

        ``trace_ids(items)`` names each item's trace, ``parents(items)`` gives the ``traceparent``
        of those whose trace is recorded. Raises :class:`StageUnavailable`.
        """
        hurry = self._durable if durable is None else durable
        features = prepared.features
        scored = Scored([b""] * features.items, refused=features.refused, alone=features.alone)
        for error in features.errors:
            scored.answers[error.index] = error
        if features.parts:
            with self._repeats.under_way(features.parts) as earlier:
                judged = await self._judge(features.parts, trace_ids(features.items))
                settled = await self._repeats.settle(
                    features.parts, judged, earlier, retried=prepared.retried
                )
                traced = parents(features.items)
                for part, verdicts, own in zip(features.parts, judged, settled, strict=True):
                    self._place(scored, part, verdicts, own)
                    fresh = recorded(part, verdicts, own.answers, own.repeats, traced)
                    receipt = self._queue.put(fresh, hurry=hurry)
                    if hurry:
                        repeated = [part.event_ids[row] for row in part.duplicates]
                        scored.receipts += [receipt, *self._queue.receipts(repeated)]
        if features.shadow is not None:
            self.shadow.put(features.shadow)
        elif self.routing.shadow is not None:
            self.shadow.skip(sum(len(part.items) for part in features.parts))
        return scored

    async def probe(self) -> bool:
        """True when a canned event gets a verdict of every version from all of its detectors."""
        parts = await self._canned()
        raw = await self._detectors.detect(parts)
        if not all(raw):
            return False
        judged = await self._combine(parts, raw, [""])
        return not any(one.degraded or len(one.verdicts) != 1 for one in judged)

    async def flush(self) -> None:
        """Carry what may be learned although no batch comes by."""
        learn, self._learn = self._learn, []
        if not learn:
            return
        try:
            await called(self._stages.learn, learn, within_s=STAGE_DEADLINE_S)
        except self._transient:
            self._learn = learn + self._learn

    @property
    def background(self) -> list[Callable[[], Awaitable[None]]]:
        """What is to run until cancelled as long as the pipeline is used."""
        return [self.run_recorder, self.shadow.run, self.run_learning]

    async def run_learning(self) -> None:
        """Flush now and then until cancelled; run it as a background task."""
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self.flush()
            except Exception:  # learning pauses; scoring and the next attempt go on
                LOG.exception("the baseline could not be told what to learn")

    async def recorded(self) -> None:
        """Wait until every verdict so far is on record, or given up."""
        await self._queue.recorded()

    async def finish(self) -> None:
        """Wait until the stages have what only this process knows; ``run_recorder`` goes on."""
        await self.flush()
        await self.recorded()

    async def _canned(self) -> list[Part]:
        features: Features = await self._until("preprocessor", self._stages.probe, self.routing)
        return features.parts

    async def _until_room(self) -> None:
        if not self._patient:
            raise QueueFull(self._queue.waiting)
        await self._queue.room()

    async def _until_settled(self) -> None:
        """Better late than judged by a version that was taken out of use."""
        try:
            async with asyncio.timeout(STAGE_DEADLINE_S):
                await self.settled.wait()
        except TimeoutError:
            self.settled.set()

    def _watched(self) -> Routing:
        """The routing, without its shadow while that one has enough to do."""
        routing = self.routing
        if routing.shadow is None or self.shadow.open:
            return routing
        return Routing(routing.answering, None, routing.revision)

    async def _judge(self, parts: list[Part], traces: Sequence[str]) -> list[Judged]:
        with self._tracing.span("ztad.detect", events=sum(len(part.items) for part in parts)):
            raw = await self._detectors.detect(parts)
            while self._patient and not all(raw):
                await asyncio.sleep(PATIENT_PAUSE_S)
                raw = await self._detectors.detect(parts)
        if not all(raw):
            raise StageUnavailable("every detector", "none answered")
        with self._tracing.span("ztad.combine", detectors=len(raw[0])):
            judged = await self._combine(parts, raw, traces)
        for one in judged:
            self._learn.extend(one.learn)
        return judged

    async def _combine(
        self, parts: list[Part], raw: list[Scores], traces: Sequence[str]
    ) -> list[Judged]:
        cases = [
            Case(
                part.live,
                part.columns,
                part.values,
                part.context,
                scores,
                [traces[item] for item in part.items],
            )
            for part, scores in zip(parts, raw, strict=True)
        ]
        judged: list[Judged] = await self._until("combiner", self._stages.judge, cases)
        return judged

    async def _until(
        self, stage: str, call: Call, *args: Any, attempts: list[int] | None = None
    ) -> Any:
        """Call a stage, again while its replica is being replaced, until its deadline."""
        deadline = time.monotonic() + STAGE_DEADLINE_S
        pause_s = RETRY_PAUSE_S
        while True:
            if attempts is not None:
                attempts.append(1)
            left = deadline - time.monotonic()
            try:
                return await called(call, *args, within_s=max(0.05, left))
            except self._transient as error:
                if time.monotonic() + pause_s >= deadline:
                    if not self._patient:
                        raise StageUnavailable(stage, type(error).__name__) from None
                    pause_s = PATIENT_PAUSE_S
                    deadline = time.monotonic() + pause_s + STAGE_DEADLINE_S
                noted("retry", stage=stage, reason=type(error).__name__)
                await asyncio.sleep(pause_s)
                self.retries[stage] += 1

    def _place(self, scored: Scored, part: Part, judged: Judged, settled: Settled) -> None:
        """A part's answers go to their places."""
        for item, verdict in zip(part.items, settled.answers, strict=True):
            scored.answers[item] = verdict
        scored.duplicates += len(part.duplicates)
        scored.ordinary += len(part.items) - len({*part.duplicates, *judged.alerts})
        scored.tallies.append(Tally(part.live, judged))

    def recent(self, event_id: str) -> Kept | None:
        """What is known of an event that is still on its way to the Recorder."""
        return self._queue.get(event_id)

    async def run_recorder(self) -> None:
        """Hand verdicts to the Recorder until cancelled; run it as a background task."""
        await self._queue.run(self._transient)

    @property
    def lost(self) -> int:
        """Verdicts that were given up on their way to the Recorder."""
        return self._queue.dropped

    @property
    def unrecorded(self) -> int:
        """Verdicts that wait for the Recorder."""
        return self._queue.waiting

    @property
    def refusing(self) -> bool:
        """Whether so many verdicts wait for the Recorder that no event is taken."""
        return self._queue.full

    @property
    def resting(self) -> dict[str, bool]:
        """For each detector whether it is left out until it answers again."""
        return self._detectors.resting
