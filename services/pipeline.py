"""The one orchestration of the graph, for every entrance: a star around whoever calls it.

preprocess -> every detector at once -> combine; each call has a deadline. A detector that fails or
is late is left out (``degraded``) until it has answered for a canned event behind the scenes. Pure
stages are retried once; the Preprocessor is waited for, since callers would rather be late than
refused.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from services.recording import Call, RecordQueue, called
from services.telemetry import NO_TRACING, Tracing
from services.wire import Features, Framing, ItemError, Judged, Payload, Recorded

LOG = logging.getLogger("ztad.pipeline")

#: Callers wait this long for a Preprocessor or Combiner that is being replaced, seconds.
STAGE_DEADLINE_S = 5.0
#: A detector has this long, at any batch size the gateway accepts, seconds.
DETECTOR_DEADLINE_S = 2.0
#: Pause before a detector that failed is asked again, behind the scenes, seconds.
REST_S = 0.5
#: Pause between attempts at a stage that is being replaced, seconds.
RETRY_PAUSE_S = 0.1
#: How long a repeated event waits for the first verdict that is still on its way, seconds.
FIRST_VERDICT_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Stages:
    """The remote methods that the pipeline calls."""

    prepare: Call
    learn: Call
    probe: Call
    detectors: Mapping[str, Call]
    judge: Call
    record: Call
    first: Call


class StageUnavailable(RuntimeError):
    """A stage without which there is no verdict did not answer in time."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(f"{stage} is not available: {reason}")
        self.stage = stage


@dataclass(slots=True)
class Scored:
    """Answers in the order of the items: an encoded verdict, or the error in its place."""

    answers: list[bytes | ItemError]
    refused: ItemError | None = None
    alerts: int = 0
    duplicates: int = 0
    degraded: bool = False
    timings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """A batch on its way through the detectors and the Combiner."""

    features: Features
    judged: asyncio.Event


class Pipeline:
    """Scores payloads; carries what may be learned to the next call of the Preprocessor.

    ``transient`` are the errors of a replica that died or cannot be reached: the call may be made
    again. Not thread-safe; one per event loop.
    """

    def __init__(
        self,
        stages: Stages,
        *,
        transient: tuple[type[Exception], ...] = (),
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._stages = stages
        self._transient: tuple[type[Exception], ...] = (*transient, TimeoutError)
        self._tracing = tracing
        self._learn: list[str] = []
        self._resting: dict[str, asyncio.Task[None]] = {}
        self._judging: list[_Batch] = []
        self._recorder = RecordQueue(stages.record)

    async def score(
        self, parts: list[bytes], framing: Framing, trace_ids: Callable[[int], Sequence[str]]
    ) -> Scored:
        """Score the events of one payload; ``trace_ids(items)`` names each item's trace.

        Raises :class:`StageUnavailable`; bad events are answers, never exceptions.
        """
        timings: dict[str, float] = {}
        features, retried = await self._prepare(parts, framing, timings)
        scored = Scored([b""] * features.items, refused=features.refused, timings=timings)
        if features.refused is not None:
            return scored
        for error in features.errors:
            scored.answers[error.index] = error
        if features.rows:
            traces = trace_ids(features.items)
            with self._under_way(features) as earlier:
                rows = [traces[row] for row in features.rows]
                judged = await self._judge(features, rows, timings)
                await self._place(features, judged, scored, earlier, retried=retried)
        return scored

    async def probe(self) -> bool:
        """True when a canned event gets a verdict from every detector."""
        features: Features = await self._until("preprocessor", self._stages.probe)
        raw = await self._detect(features.values)
        if not raw:
            return False
        judged = await self._until("combiner", self._stages.judge, features.values,
                                   features.context, raw, [""])  # fmt: skip
        return len(raw) == len(self._stages.detectors) and len(judged.verdicts) == 1

    async def flush(self) -> None:
        """Carry what may be learned although no batch comes by."""
        learn, self._learn = self._learn, []
        if not learn:
            return
        try:
            await called(self._stages.learn, learn, within_s=STAGE_DEADLINE_S)
        except self._transient:
            self._learn = learn + self._learn

    async def _prepare(
        self, parts: list[bytes], framing: Framing, timings: dict[str, float]
    ) -> tuple[Features, bool]:
        learn, self._learn = self._learn, []
        started = time.perf_counter()
        attempts: list[int] = []
        try:
            with self._tracing.span("ztad.preprocess", framing=framing):
                features: Features = await self._until(
                    "preprocessor",
                    self._stages.prepare,
                    Payload(parts, framing, learn),
                    attempts=attempts,
                )
        except BaseException:
            self._learn = learn + self._learn
            raise
        timings["preprocess"] = time.perf_counter() - started
        return features, len(attempts) > 1

    async def _judge(
        self, features: Features, trace_ids: list[str], timings: dict[str, float]
    ) -> Judged:
        started = time.perf_counter()
        with self._tracing.span("ztad.detect", events=len(features.rows)):
            raw = await self._detect(features.values)
        detected = time.perf_counter()
        timings["detect"] = detected - started
        if not raw:
            raise StageUnavailable("every detector", "none answered")
        with self._tracing.span("ztad.combine", detectors=len(raw)):
            judged: Judged = await self._until(
                "combiner", self._stages.judge, features.values, features.context, raw, trace_ids
            )
        timings["combine"] = time.perf_counter() - detected
        self._learn.extend(judged.learn)
        return judged

    async def _detect(self, values: bytes) -> dict[str, bytes]:
        """Raw scores of the detectors that answered in time."""
        asked = {
            name: call for name, call in self._stages.detectors.items() if name not in self._resting
        }
        answers = await asyncio.gather(*(self._ask(name, asked[name], values) for name in asked))
        return {
            name: scores for name, scores in zip(asked, answers, strict=True) if scores is not None
        }

    async def _ask(self, name: str, call: Call, values: bytes) -> bytes | None:
        """One detector's scores, retried once if its replica died; None if it does not answer."""
        deadline = time.monotonic() + DETECTOR_DEADLINE_S
        for _ in range(2):
            try:
                left = max(0.05, deadline - time.monotonic())
                scores: bytes = await called(call, values, within_s=left)
                return scores
            except TimeoutError:
                break
            except self._transient:
                continue
            except Exception:  # whatever is wrong with one detector, the others decide
                LOG.exception("%s failed", name)
                break
        if name not in self._resting:
            self._resting[name] = asyncio.get_running_loop().create_task(
                self._revive(name, call), context=contextvars.Context()
            )
        return None

    async def _revive(self, name: str, call: Call) -> None:
        """Ask a detector about the canned event until it answers: no caller waits for it."""
        answered = False
        while not answered:
            await asyncio.sleep(REST_S)
            try:
                canned = await called(self._stages.probe, within_s=STAGE_DEADLINE_S)
                await called(call, canned.values, within_s=STAGE_DEADLINE_S)
                answered = True
            except Exception:  # whatever it is, the others decide meanwhile
                LOG.debug("%s does not answer yet", name, exc_info=True)
        del self._resting[name]

    async def _until(
        self, stage: str, call: Call, *args: Any, attempts: list[int] | None = None
    ) -> Any:
        """Call a stage, again while its replica is being replaced, until its deadline."""
        deadline = time.monotonic() + STAGE_DEADLINE_S
        while True:
            if attempts is not None:
                attempts.append(1)
            left = deadline - time.monotonic()
            try:
                return await called(call, *args, within_s=max(0.05, left))
            except self._transient as error:
                if time.monotonic() + RETRY_PAUSE_S >= deadline:
                    raise StageUnavailable(stage, type(error).__name__) from None
                await asyncio.sleep(RETRY_PAUSE_S)

    @contextmanager
    def _under_way(self, features: Features) -> Iterator[list[_Batch]]:
        """Marks a batch as being judged; gives those that were before it."""
        batch = _Batch(features, asyncio.Event())
        earlier = list(self._judging)
        self._judging.append(batch)
        try:
            yield earlier
        finally:
            self._judging.remove(batch)
            batch.judged.set()

    async def _place(
        self,
        features: Features,
        judged: Judged,
        scored: Scored,
        earlier: list[_Batch],
        *,
        retried: bool,
    ) -> None:
        """Put verdicts in their places, first verdicts in those of repeated events; record."""
        answers, repeats = judged.verdicts, frozenset[int]()
        scored.alerts, scored.degraded = judged.alerts, judged.degraded
        if features.duplicates:
            await _first_ones(features.duplicates.values(), earlier)
            answers, repeats = await self._with_first(features, judged.verdicts, retried)
            scored.duplicates = len(features.duplicates)
        for index, verdict in zip(features.rows, answers, strict=True):
            scored.answers[index] = verdict
        self._recorder.put(_recorded(features, answers, repeats))

    async def _with_first(
        self, features: Features, verdicts: list[bytes], retried: bool
    ) -> tuple[list[bytes], frozenset[int]]:
        """Repeated ids answer with their first verdict, wherever it is by now.

        Returns the answers and the rows whose first verdict is on record already; a repeated id
        that nobody remembers is on record from now on.
        """
        known = {
            event_id: verdicts[row]
            for row, event_id in enumerate(features.event_ids)
            if row not in features.duplicates
        }
        known |= self._recorder.find(
            [id_ for id_ in features.duplicates.values() if id_ not in known]
        )
        missing = [id_ for id_ in features.duplicates.values() if id_ not in known]
        if missing:
            known |= await self._remembered(missing)
        answers, repeats = list(verdicts), set[int]()
        for row, event_id in sorted(features.duplicates.items()):
            first = known.get(event_id)
            if first is not None:
                answers[row] = marked(first, duplicate=True)
                repeats.add(row)
                continue
            if retried:
                # Our own second attempt, not the client's: the first never got an answer.
                answers[row] = marked(verdicts[row], duplicate=False)
            known[event_id] = answers[row]
        return answers, frozenset(repeats)

    def recent(self, event_id: str) -> tuple[bytes, bytes] | None:
        """Verdict and feature row of an event that is still on its way to the Recorder."""
        return self._recorder.get(event_id)

    async def _remembered(self, event_ids: list[str]) -> dict[str, bytes]:
        try:
            known: dict[str, bytes] = await called(
                self._stages.first, event_ids, within_s=FIRST_VERDICT_WAIT_S
            )
        except self._transient:
            return {}
        return known

    async def run_recorder(self) -> None:
        """Hand verdicts to the Recorder until cancelled; run it as a background task."""
        await self._recorder.run(self._transient)

    @property
    def lost(self) -> int:
        """Verdicts that were given up on their way to the Recorder."""
        return self._recorder.dropped


async def _first_ones(event_ids: Iterable[str], earlier: list[_Batch]) -> None:
    """Wait for the batches that are to give some of these ids their first verdict."""
    wanted = set(event_ids)
    try:
        async with asyncio.timeout(FIRST_VERDICT_WAIT_S):
            for batch in earlier:
                if not batch.judged.is_set() and not wanted.isdisjoint(batch.features.event_ids):
                    await batch.judged.wait()
    except TimeoutError:
        return


def _recorded(features: Features, answers: list[bytes], repeats: frozenset[int]) -> Recorded:
    """What is new of a batch: everything but the rows in ``repeats``."""
    if not repeats:
        return Recorded(features.event_ids, answers, features.columns, features.values)
    rows = [row for row in range(len(answers)) if row not in repeats]
    return Recorded(
        [features.event_ids[row] for row in rows],
        [answers[row] for row in rows],
        features.columns,
        features.matrix()[rows].tobytes(),
    )


def marked(verdict: bytes, *, duplicate: bool) -> bytes:
    """An encoded verdict with ``duplicate`` set, every other byte of its values unchanged."""
    fields = msgspec.json.decode(verdict, type=dict[str, msgspec.Raw])
    fields["duplicate"] = msgspec.Raw(b"true" if duplicate else b"false")
    return msgspec.json.encode(fields)
