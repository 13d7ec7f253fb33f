"""The deployments of the graph: thin classes over preprocessing, models and ensemble.

Each runs in its own process and owns no logic. Loading happens in ``__init__``; methods are
``async def`` because Serve would otherwise pay a thread hop for every call.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ensemble.decision import Ensemble, Origin
from ensemble.scorer import ensemble_of, load_bundle
from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import (
    AuthEvent,
    Decoded,
    InvalidEvent,
    decode_array,
    decode_event,
    decode_lines,
)
from preprocessing.prepare import Context, Prepared, prepare
from services.history import open_history
from services.wire import Features, ItemError, Judged, Payload, Recorded

MAX_BATCH_EVENTS = 10_000
#: The event that readiness and health checks score; it is never observed by the live history.
CANNED = AuthEvent(
    timestamp=datetime(2026, 1, 5, 9, tzinfo=UTC),
    user_id="ztad-probe",
    outcome="success",
    event_id="ztad-probe",
)


class Preprocessor:
    """Owns the history: raw events in, features and context out.

    One replica with the embedded history: two would each know half of what happened.
    """

    def __init__(self, bundle: str, state_dir: str | None) -> None:
        loaded = load_bundle(Path(bundle))
        self._surprise = ensemble_of(loaded).surprise
        self._history = open_history(loaded, Path(state_dir) if state_dir else None)

    async def prepare(self, payload: Payload) -> Features:
        """Decode, observe and extract; refuses a payload only as a whole when it is no batch."""
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
        return self._features(decoded, now_s)

    async def learn(self, event_ids: list[str]) -> None:
        """Let ordinary events join the baseline when no batch comes by to carry them."""
        self._history.learn(event_ids)

    async def probe(self) -> Features:
        """Features of the canned event against an empty history; leaves no trace."""
        prepared = prepare([CANNED], EmbeddedHistory(), self._surprise, now_s=time.time())
        return _wired([0], 1, prepared, [])

    def _features(self, decoded: list[Decoded], now_s: float) -> Features:
        rows: list[int] = []
        events: list[AuthEvent] = []
        errors: list[ItemError] = []
        for index, item in enumerate(decoded):
            if isinstance(item, AuthEvent):
                rows.append(index)
                events.append(item)
            else:
                errors.append(ItemError(index, item.event_id, item.field, item.message))
        if not events:
            return Features(items=len(decoded), errors=errors)
        prepared = prepare(events, self._history, self._surprise, now_s=now_s)
        return _wired(rows, len(decoded), prepared, errors)

    def __del__(self) -> None:
        close = getattr(getattr(self, "_history", None), "close", None)
        if close is not None:
            close()


class DetectorReplica:
    """One detector of the bundle as an ONNX session: features in, raw scores out. Pure."""

    def __init__(self, bundle: str, detector: str) -> None:
        loaded = load_bundle(Path(bundle))
        self._scorer = loaded.scorer(detector)
        self._columns = len(loaded.schema.names)

    async def score(self, values: bytes) -> bytes:
        """float32 (n, columns) as bytes -> float64 (n,) as bytes."""
        x = np.frombuffer(values, np.float32).reshape(-1, self._columns)
        return self._scorer.score(x).values.tobytes()

    async def check_health(self) -> None:
        """A replica that cannot score is not alive, whatever its process says."""
        scores = self._scorer.score(np.zeros((1, self._columns), np.float32)).values
        if not np.isfinite(scores).all():
            raise RuntimeError("canned event got no finite score")


class Combiner:
    """Raw scores and context in, encoded verdicts out. Pure."""

    def __init__(self, bundle: str) -> None:
        loaded = load_bundle(Path(bundle))
        self._ensemble = Ensemble(ensemble_of(loaded))
        self._version = loaded.version
        self._columns = len(loaded.schema.names)
        self._encode = msgspec.json.Encoder().encode

    async def judge(
        self, values: bytes, context: bytes, raw: dict[str, bytes], trace_ids: list[str]
    ) -> Judged:
        """Verdicts of n rows from the detectors that answered (at least one)."""
        features = np.frombuffer(values, np.float32).reshape(-1, self._columns)
        scores = {name: np.frombuffer(data, np.float64) for name, data in raw.items()}
        origin = Origin(self._version, trace_ids=trace_ids)
        decided = self._ensemble.decide(features, Context.decode(context), scores, origin)
        verdicts = decided.verdicts
        return Judged(
            verdicts=[self._encode(verdict) for verdict in verdicts],
            learn=decided.learn,
            alerts=sum(verdict.is_anomaly for verdict in verdicts),
            degraded=bool(verdicts) and verdicts[0].degraded,
        )


class Explainer:
    """Says what one event's score is made of; loads shap when it is first asked."""

    def __init__(self, bundle: str) -> None:
        self._bundle = load_bundle(Path(bundle))
        self._explain: Any = None

    async def explain(self, values: bytes) -> dict[str, Any]:
        """SHAP contributions of one feature row (float32 bytes) to the combined surprise."""
        if self._explain is None:
            from ensemble.explain.shap import ShapExplainer

            self._explain = ShapExplainer(self._bundle)
        explained: dict[str, Any] = self._explain.explain(np.frombuffer(values, np.float32))
        return explained

    async def warm(self) -> None:
        """Load what explanations need, so that the first one is not slow."""
        await self.explain(np.zeros(len(self._bundle.schema.names), np.float32).tobytes())


class Recorder:
    """Remembers verdicts: the last ``most_evidence`` with their features, more for repeats.

    In memory: a restarted Recorder has forgotten them. Off the scoring path.
    """

    def __init__(self, most_evidence: int = 100_000, most_first: int = 1_000_000) -> None:
        self._most_evidence = most_evidence
        self._most_first = most_first
        self._first: OrderedDict[str, bytes] = OrderedDict()
        self._evidence: OrderedDict[str, bytes] = OrderedDict()

    async def record(self, recorded: Recorded) -> None:
        """Keep verdicts; the first one of an id stays."""
        width = recorded.columns * 4
        rows = zip(recorded.event_ids, recorded.verdicts, strict=True)
        for row, (event_id, verdict) in enumerate(rows):
            if event_id in self._first:
                continue
            self._first[event_id] = verdict
            self._evidence[event_id] = recorded.values[row * width : (row + 1) * width]
        while len(self._evidence) > self._most_evidence:
            self._evidence.popitem(last=False)
        while len(self._first) > self._most_first:
            self._first.popitem(last=False)

    async def first(self, event_ids: list[str]) -> dict[str, bytes]:
        """The encoded first verdicts of those ids that are known."""
        return {name: self._first[name] for name in event_ids if name in self._first}

    async def get(self, event_id: str) -> tuple[bytes, bytes] | None:
        """Verdict and feature row of one of the last ``most_evidence`` events, else None."""
        values = self._evidence.get(event_id)
        return None if values is None else (self._first[event_id], values)


def _decoded(payload: Payload, now_s: float) -> list[Decoded]:
    if payload.framing == "array":
        return decode_array(payload.parts[0], now_s=now_s)
    if payload.framing == "lines":
        return decode_lines(payload.parts[0], now_s=now_s)
    return [_event(part, now_s) for part in payload.parts]


def _event(body: bytes, now_s: float) -> Decoded:
    """One request's event: equal bodies of two requests are one event sent twice."""
    try:
        return decode_event(body, now_s=now_s)
    except InvalidEvent as error:
        return error


def _wired(rows: list[int], items: int, prepared: Prepared, errors: list[ItemError]) -> Features:
    context = prepared.context
    return Features(
        items=items,
        columns=prepared.features.shape[1],
        values=prepared.features.tobytes(),
        context=context.encode(),
        rows=rows,
        event_ids=context.event_ids,
        errors=errors,
        duplicates={row: context.event_ids[row] for row in context.duplicate},
    )
