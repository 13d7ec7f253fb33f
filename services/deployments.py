"""The deployments of the graph: thin classes over preprocessing, models and ensemble.

Each runs in its own process and owns no logic. Loading happens in ``__init__``; methods are
``async def`` because Serve would otherwise pay a thread hop for every call. Which version is to do
the work comes with every call; a version that is not there yet is loaded in a thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ensemble.decision import Ensemble, Origin
from ensemble.explain.asked import Asked
from ensemble.explain.explaining import Explaining
from ensemble.scorer import ensemble_of, load_bundle
from models.bundle import Bundle
from models.onnx_scorer import OnnxScorer
from preprocessing import COMPILED
from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import (
    AuthEvent,
    Decoded,
    InvalidEvent,
    decode_array,
    decode_event,
    decode_lines,
    decode_unidentified,
)
from preprocessing.feedback import Feedback
from preprocessing.prepare import Context, Lens, Observed, observe
from services.history import open_history
from services.routing import Live, Routing
from services.versions import Versions
from services.wire import Case, Features, ItemError, Judged, Part, Payload, Question, Work

LOG = logging.getLogger("ztad.graph")

MAX_BATCH_EVENTS = 10_000
#: The event that readiness and health checks score; it is never observed by the live history.
CANNED = AuthEvent(
    timestamp=datetime(2026, 1, 5, 9, tzinfo=UTC),
    user_id="ztad-probe",
    outcome="success",
    event_id="ztad-probe",
)
#: Lowest priority of a thread: a version that only watches takes what the others leave.
LOWEST_PRIORITY = 19


@dataclass(frozen=True, slots=True)
class Sight:
    """How a version sees events, and which of its detectors it need not ask."""

    lens: Lens
    idle: frozenset[str]


class Preprocessor:
    """Owns the history: raw events in, features and context out.

    One replica with the embedded history: two would each know half of what happened. As many as
    wanted with a shared one.
    """

    def __init__(self, bundle: str, state_dir: str | None, history: str | None = None) -> None:
        if not COMPILED:
            LOG.warning("the history runs uncompiled, about half as fast; 'make compile' ends that")
        loaded = load_bundle(Path(bundle))
        self._sights: Versions[Sight] = Versions(_sight)
        self._sights.add(loaded)
        self._history = open_history(loaded, Path(state_dir) if state_dir else None, history)

    async def load(self, version: str, path: str) -> None:
        """Have a version ready before the first event asks for it; raises ``BundleError``."""
        await self._sights.get(version, path)

    async def prepare(self, payload: Payload) -> Features:
        """Decode, observe and extract; refuses a payload only as a whole when it is no batch."""
        sights = await self._sights_of(payload.routing)
        now_s = time.time()
        if payload.learn:
            self._history.learn(payload.learn)
        try:
            decoded = _decoded(payload, now_s)
        except InvalidEvent as error:
            return Features(refused=ItemError(0, error.event_id, error.field, error.message))
        if len(decoded) > MAX_BATCH_EVENTS:
            message = f"{len(decoded):,} events, at most {MAX_BATCH_EVENTS:,}; split the batch"
            return Features(items=len(decoded), refused=ItemError(0, None, "too_large", message))
        return self._features(decoded, payload.routing, sights, now_s)

    async def learn(self, event_ids: list[str]) -> None:
        """Let ordinary events join the baseline when no batch comes by to carry them."""
        self._history.learn(event_ids)

    async def correct(self, feedback: Sequence[Feedback]) -> int:
        """Have the history hear what analysts said; the last serial that it has heard."""
        return self._history.correct(feedback)

    async def probe(self, routing: Routing) -> Features:
        """The canned event as every answering version sees it; leaves no trace."""
        sights = await self._sights_of(routing)
        observed = observe([CANNED], EmbeddedHistory(), now_s=time.time())
        parts = [_part(live, sights[live.version], observed, [0]) for live in routing.answering]
        return Features(1, parts)

    async def _sights_of(self, routing: Routing) -> dict[str, Sight]:
        return {
            live.version: await self._sights.get(live.version, live.path)
            for live in routing.answering
        }

    def _features(
        self, decoded: list[Decoded], routing: Routing, sights: dict[str, Sight], now_s: float
    ) -> Features:
        items: list[int] = []
        events: list[AuthEvent] = []
        errors: list[ItemError] = []
        for index, item in enumerate(decoded):
            if isinstance(item, AuthEvent):
                items.append(index)
                events.append(item)
            else:
                errors.append(ItemError(index, item.event_id, item.field, item.message))
        if not events:
            return Features(items=len(decoded), errors=errors)
        observed = observe(events, self._history, now_s=now_s)
        parts = [
            _answering(live, sights[live.version], observed, items, rows)
            for live, rows in zip(
                routing.answering, routing.assign([event.user_id for event in events]), strict=True
            )
            if rows
        ]
        shadow = self._shadow(routing.shadow, observed, items)
        return Features(len(decoded), parts, shadow, errors, alone=observed.alone)

    def _shadow(self, live: Live | None, observed: Observed, items: list[int]) -> Part | None:
        """The events for the version that only watches; nobody waits until that is loaded."""
        sight = None if live is None else self._sights.at_hand(live.version, live.path)
        return None if live is None or sight is None else _part(live, sight, observed, items)

    def __del__(self) -> None:
        close = getattr(getattr(self, "_history", None), "close", None)
        if close is not None:
            close()


class DetectorReplica:
    """One detector in every version in use, as ONNX sessions: what it sees in, raw scores out."""

    def __init__(self, bundle: str, detector: str) -> None:
        loaded = load_bundle(Path(bundle))
        self._detector = detector
        self._scorers: Versions[OnnxScorer | None] = Versions(self._scorer)
        self._canned = self._scorers.add(loaded)
        self._behind = _background()

    async def load(self, version: str, path: str) -> None:
        """Have a version ready before the first event asks for it; raises ``BundleError``."""
        await self._scorers.get(version, path)

    async def score(self, work: list[Work]) -> list[bytes | None]:
        """float64 (n,) as bytes for each piece of work; None where a version has no such
        detector."""
        return [_scored(await self._scorers.get(one.version, one.path), one) for one in work]

    async def shadow(self, work: list[Work]) -> list[bytes | None]:
        """The same in a thread of lowest priority: however long it takes, ``score`` goes on."""
        scorers = [await self._scorers.get(one.version, one.path) for one in work]
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._behind, lambda: [_scored(*pair) for pair in zip(scorers, work, strict=True)]
        )

    async def check_health(self) -> None:
        """A replica that cannot score is not alive, whatever its process says."""
        if self._canned is None:
            return
        nothing = bytes(self._canned.row_bytes)
        scores = self._canned.score(self._canned.rows(nothing, 1)).values
        if not np.isfinite(scores).all():
            raise RuntimeError("canned event got no finite score")

    def _scorer(self, bundle: Bundle) -> OnnxScorer | None:
        return bundle.scorer(self._detector) if self._detector in bundle.detectors else None


class Combiner:
    """Raw scores and context in, encoded verdicts out. Pure."""

    def __init__(self, bundle: str) -> None:
        self._ensembles: Versions[Ensemble] = Versions(lambda each: Ensemble(ensemble_of(each)))
        self._ensembles.add(load_bundle(Path(bundle)))
        self._encode = msgspec.json.Encoder().encode
        self._behind = _background()

    async def load(self, version: str, path: str) -> None:
        """Have a version ready before the first event asks for it; raises ``BundleError``."""
        await self._ensembles.get(version, path)

    async def judge(self, cases: list[Case]) -> list[Judged]:
        """Verdicts of each case's rows from the detectors that answered (at least one)."""
        return [
            self._judge(await self._ensembles.get(case.live.version, case.live.path), case)
            for case in cases
        ]

    async def shadow(self, cases: list[Case]) -> list[Judged]:
        """The same in a thread of lowest priority: however long it takes, ``judge`` goes on."""
        ensembles = [await self._ensembles.get(case.live.version, case.live.path) for case in cases]
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._behind,
            lambda: [self._judge(*pair) for pair in zip(ensembles, cases, strict=True)],
        )

    def _judge(self, ensemble: Ensemble, case: Case) -> Judged:
        features = np.frombuffer(case.values, np.float32).reshape(-1, case.columns)
        scores = {name: np.frombuffer(data, np.float64) for name, data in case.raw.items()}
        origin = Origin(case.live.version, case.live.variant, case.trace_ids)
        decided = ensemble.decide(features, Context.decode(case.context), scores, origin)
        verdicts = decided.verdicts
        return Judged(
            verdicts=[self._encode(verdict) for verdict in verdicts],
            learn=decided.learn,
            alerts=[row for row, verdict in enumerate(verdicts) if verdict.is_anomaly],
            decades=decided.decades,
            degraded=bool(verdicts) and verdicts[0].degraded,
            reasons=decided.reasons,
        )


class Explainer:
    """Says what one event's score is made of; loads shap when it is first asked for."""

    def __init__(self, bundle: str) -> None:
        self._version, self._path = load_bundle(Path(bundle)).version, bundle
        self._explaining: Versions[Explaining] = Versions(Explaining)

    async def explain(self, question: Question) -> dict[str, Any]:
        """One event's explanation by the version that judged it.

        Raises ``BundleError`` when the version cannot be loaded any more.
        """
        explaining = await self._explaining.get(question.version, question.path)
        asked = Asked.decode(question.verdict, question.values, question.evidence)
        return explaining.explain(question.method, asked)

    async def warm(self) -> None:
        """Load what explanations need, so that the first one is not slow."""
        (await self._explaining.get(self._version, self._path)).warm()


def _sight(bundle: Bundle) -> Sight:
    spec = ensemble_of(bundle)
    return Sight(spec.lens, frozenset(bundle.detectors) - spec.counted)


def _background() -> ThreadPoolExecutor:
    """One thread that gives way to all others of this machine."""

    def give_way() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)

    return ThreadPoolExecutor(1, thread_name_prefix="ztad-shadow", initializer=give_way)


def _scored(scorer: OnnxScorer | None, work: Work) -> bytes | None:
    if scorer is None:
        return None
    return scorer.score(scorer.rows(work.values, work.rows)).values.tobytes()


def _decoded(payload: Payload, now_s: float) -> list[Decoded]:
    if payload.framing == "array":
        return decode_array(payload.parts[0], now_s=now_s)
    if payload.framing == "lines":
        return decode_lines(payload.parts[0], now_s=now_s)
    if payload.ids:
        pairs = zip(payload.parts, payload.ids, strict=True)
        return [_named(part, event_id, now_s) for part, event_id in pairs]
    return [_event(part, now_s) for part in payload.parts]


def _event(body: bytes, now_s: float) -> Decoded:
    """One request's event: equal bodies of two requests are one event sent twice."""
    try:
        return decode_event(body, now_s=now_s)
    except InvalidEvent as error:
        return error


def _named(body: bytes, event_id: str, now_s: float) -> Decoded:
    """One message's event: without an id of its own it is called by its place in the topic."""
    try:
        event = decode_unidentified(body, now_s=now_s)
    except InvalidEvent as error:
        return error
    return event if event.event_id else msgspec.structs.replace(event, event_id=event_id)


def _answering(
    live: Live, sight: Sight, observed: Observed, items: list[int], rows: list[int]
) -> Part:
    """The rows of a version that answers, with the events as they came for the record."""
    part = _part(live, sight, observed, items, rows)
    return replace(part, events=observed.encoded(rows))


def _part(
    live: Live, sight: Sight, observed: Observed, items: list[int], rows: list[int] | None = None
) -> Part:
    """The rows of one version; all of them when it judges everybody."""
    every = rows is None or len(rows) == len(items)
    prepared = observed.through(sight.lens, None if every else rows)
    context = prepared.context
    return Part(
        live=live,
        columns=prepared.features.shape[1],
        values=prepared.features.tobytes(),
        trails=prepared.trails.tobytes(),
        context=context.encode(),
        items=items if every or rows is None else [items[row] for row in rows],
        event_ids=context.event_ids,
        duplicates=context.duplicate,
        idle=sight.idle,
    )
