"""Stages in this process for tests of the pipeline and the gateway: they do as they are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.prepare import Context
from services.book import RoutingBook
from services.pipeline import Pipeline, Stages
from services.routing import Live, Routing, only
from services.storage.base import Kept
from services.wire import Case, Features, ItemError, Judged, Part, Payload, Recorded, Work

COLUMNS = 2
ROUTING = only("v1", "bundles/v1")


async def until(happened: Callable[[], bool]) -> None:
    """Let the others run until something has happened."""
    async with asyncio.timeout(30):
        while True:
            if happened():
                return
            await asyncio.sleep(0.001)


class Died(Exception):
    """A replica that is not there any more."""


class Stage:
    """A remote method: each call first does what was planned for it, then what it always does."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self._answer = answer
        self.calls: list[tuple[Any, ...]] = []
        self.plan: list[BaseException | asyncio.Event] = []

    def remote(self, *args: Any) -> Awaitable[Any]:
        self.calls.append(args)
        return self._do(self.plan.pop(0) if self.plan else None, args)

    async def _do(
        self, planned: BaseException | asyncio.Event | None, args: tuple[Any, ...]
    ) -> Any:
        if isinstance(planned, BaseException):
            raise planned
        if planned is not None:
            await planned.wait()
        return self._answer(*args)


class FakeGraph:
    """Every stage of the graph, in memory.

    An event is ``{"event_id": ..., "bad": ...}``; its verdict counts how many were made before,
    and is over the threshold if the id begins with "evil".
    ``known`` are the ids that the Preprocessor has seen.
    """

    def __init__(self, detectors: tuple[str, ...] = ("first", "second")) -> None:
        self.routing = ROUTING
        self.durable = False
        self.known: set[str] = set()
        self.watched: dict[str, bytes] = {}
        self.recorded: dict[str, bytes] = {}
        self.values: dict[str, bytes] = {}
        self.made = 0
        self.prepare = Stage(self._prepare)
        self.learn = Stage(lambda ids: None)
        self.probe = Stage(
            lambda routing: Features(
                1, [_part(live, [(0, {"event_id": "probe"})], ()) for live in routing.answering]
            )
        )
        self.detectors = {name: Stage(_score) for name in detectors}
        self.shadow_detectors = {name: Stage(_score) for name in detectors}
        self.judge = Stage(self._judge)
        self.shadow_judge = Stage(self._judge)
        self.record = Stage(self._record)
        self.first = Stage(
            lambda ids: {name: self.recorded[name] for name in ids if name in self.recorded}
        )

    def pipeline(
        self,
        around: Callable[[Stages], Stages] = lambda stages: stages,
        *,
        patient: bool = False,
    ) -> Pipeline:
        stages = Stages(
            self.prepare,
            self.learn,
            self.probe,
            self.detectors,
            self.judge,
            self.shadow_detectors,
            self.shadow_judge,
            self.record,
            self.first,
        )
        pipeline = Pipeline(
            around(stages),
            self.routing,
            transient=(Died,),
            patient=patient,
            durable=self.durable,
        )
        pipeline.settled.set()
        return pipeline

    def book(self, pipeline: Pipeline, models_dir: Path | None = None) -> RoutingBook:
        """A routing book that nobody changes."""
        return RoutingBook(
            pipeline, models_dir=models_dir, detectors=tuple(self.detectors), loads=[],
            keep=Stage(lambda *args: 1), kept=Stage(lambda: None),
        )  # fmt: skip

    async def kept(self, event_id: str) -> Kept | None:
        """What the Recorder has of an event."""
        if event_id not in self.recorded:
            return None
        verdict, values = self.recorded[event_id], self.values[event_id]
        return Kept(verdict, "v1", "bundles/v1", "", 0.0, values)

    def _prepare(self, payload: Payload) -> Features:
        items = _items(payload)
        if items is None:
            return Features(refused=ItemError(0, None, "body", "expected an array"))
        if len(items) > 10:
            return Features(refused=ItemError(0, None, "too_large", "at most 10"))
        good: list[tuple[int, dict[str, Any]]] = []
        errors: list[ItemError] = []
        repeated: list[int] = []
        for index, item in enumerate(items):
            if "bad" in item:
                errors.append(ItemError(index, item.get("event_id"), item["bad"], "is bad"))
                continue
            if item["event_id"] in self.known:
                repeated.append(index)
            self.known.add(item["event_id"])
            good.append((index, item))
        routing: Routing = payload.routing
        users = [item.get("user_id", "ann") for _, item in good]
        parts = [
            _part(live, [good[row] for row in rows], repeated)
            for live, rows in zip(routing.answering, routing.assign(users), strict=True)
            if rows
        ]
        shadow = None if routing.shadow is None else _part(routing.shadow, good, repeated)
        return Features(len(items), parts, shadow if good else None, errors)

    def _judge(self, cases: list[Case]) -> list[Judged]:
        return [self._judged(case) for case in cases]

    def _judged(self, case: Case) -> Judged:
        context = Context.decode(case.context)
        verdicts = []
        for row, (event_id, trace) in enumerate(
            zip(context.event_ids, case.trace_ids, strict=True)
        ):
            self.made += 1
            verdict = {"event_id": event_id, "user_id": context.user_ids[row],
                       "is_anomaly": event_id.startswith("evil"), "score": self.made,
                       "detectors": sorted(case.raw),
                       "duplicate": row in context.duplicate, "trace_id": trace,
                       "variant": case.live.variant,
                       "model_version": case.live.version}  # fmt: skip
            verdicts.append(json.dumps(verdict).encode())
        learn = [
            event_id
            for row, event_id in enumerate(context.event_ids)
            if row not in context.duplicate
        ]
        degraded = len(case.raw) < len(self.detectors)
        evil = [row for row, name in enumerate(context.event_ids) if name.startswith("evil")]
        return Judged(verdicts, learn, evil, [len(verdicts), *[0] * 9], degraded)

    def _record(self, batches: list[Recorded]) -> bool:
        for recorded in batches:
            width = recorded.columns * 4
            into = self.watched if recorded.shadow else self.recorded
            for row, event_id in enumerate(recorded.event_ids):
                into.setdefault(event_id, recorded.verdicts[row])
                self.values.setdefault(event_id, recorded.values[row * width : (row + 1) * width])
        return True


def _score(work: list[Work]) -> list[bytes | None]:
    return [one.values for one in work]


def _items(payload: Payload) -> list[dict[str, Any]] | None:
    if payload.framing == "array":
        whole = json.loads(payload.parts[0])
        return whole if isinstance(whole, list) else None
    lines = payload.parts[0].split(b"\n") if payload.framing == "lines" else payload.parts
    items = [json.loads(line) for line in lines if line]
    for item, event_id in zip(items, payload.ids, strict=False):
        item.setdefault("event_id", event_id)
    return items


def _part(live: Live, good: Sequence[tuple[int, dict[str, Any]]], repeated: Sequence[int]) -> Part:
    ids = [item["event_id"] for _, item in good]
    duplicates = [row for row, (index, _) in enumerate(good) if index in repeated]
    users = [item.get("user_id", "ann") for _, item in good]
    context = Context(ids, users, [], [], duplicates, [], {}, [0.0] * len(ids), [""] * len(ids))
    return Part(
        live=live,
        columns=COLUMNS,
        values=np.arange(len(ids) * COLUMNS, dtype=np.float32).tobytes(),
        context=context.encode(),
        items=[index for index, _ in good],
        event_ids=ids,
        duplicates=duplicates,
    )
