"""Stages in this process for tests of the pipeline and the gateway: they do as they are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from services.pipeline import Pipeline, Stages
from services.wire import Features, ItemError, Judged, Payload, Recorded

COLUMNS = 2


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

    An event is ``{"event_id": ..., "bad": ...}``; its verdict counts how many were made before.
    ``known`` are the ids that the Preprocessor has seen.
    """

    def __init__(self, detectors: tuple[str, ...] = ("first", "second")) -> None:
        self.known: set[str] = set()
        self.recorded: dict[str, bytes] = {}
        self.values: dict[str, bytes] = {}
        self.made = 0
        self.prepare = Stage(self._prepare)
        self.learn = Stage(lambda ids: None)
        self.probe = Stage(lambda: _features(["probe"], [], {}, 1))
        self.detectors = {name: Stage(lambda values: values) for name in detectors}
        self.judge = Stage(self._judge)
        self.record = Stage(self._record)
        self.first = Stage(
            lambda ids: {name: self.recorded[name] for name in ids if name in self.recorded}
        )

    def pipeline(self) -> Pipeline:
        stages = Stages(
            self.prepare,
            self.learn,
            self.probe,
            self.detectors,
            self.judge,
            self.record,
            self.first,
        )
        return Pipeline(stages, transient=(Died,))

    async def kept(self, event_id: str) -> tuple[bytes, bytes] | None:
        """What the Recorder has of an event."""
        if event_id not in self.recorded:
            return None
        return self.recorded[event_id], self.values[event_id]

    def _prepare(self, payload: Payload) -> Features:
        items = _items(payload)
        if items is None:
            return Features(refused=ItemError(0, None, "body", "expected an array"))
        if len(items) > 10:
            return Features(refused=ItemError(0, None, "too_large", "at most 10"))
        rows: list[int] = []
        ids: list[str] = []
        errors: list[ItemError] = []
        duplicates: dict[int, str] = {}
        for index, item in enumerate(items):
            if "bad" in item:
                errors.append(ItemError(index, item.get("event_id"), item["bad"], "is bad"))
                continue
            if item["event_id"] in self.known:
                duplicates[len(ids)] = item["event_id"]
            self.known.add(item["event_id"])
            rows.append(index)
            ids.append(item["event_id"])
        return _features(ids, errors, duplicates, len(items), rows)

    def _judge(
        self, values: bytes, context: bytes, raw: dict[str, bytes], traces: list[str]
    ) -> Judged:
        ids, duplicates = json.loads(context)
        verdicts = []
        for row, (event_id, trace) in enumerate(zip(ids, traces, strict=True)):
            self.made += 1
            verdict = {"event_id": event_id, "score": self.made, "detectors": sorted(raw),
                       "duplicate": row in duplicates, "trace_id": trace}  # fmt: skip
            verdicts.append(json.dumps(verdict).encode())
        learn = [event_id for row, event_id in enumerate(ids) if row not in duplicates]
        return Judged(verdicts, learn, alerts=0, degraded=len(raw) < len(self.detectors))

    def _record(self, recorded: Recorded) -> None:
        width = recorded.columns * 4
        for row, event_id in enumerate(recorded.event_ids):
            self.recorded.setdefault(event_id, recorded.verdicts[row])
            self.values.setdefault(event_id, recorded.values[row * width : (row + 1) * width])


def _items(payload: Payload) -> list[dict[str, Any]] | None:
    if payload.framing == "array":
        whole = json.loads(payload.parts[0])
        return whole if isinstance(whole, list) else None
    lines = payload.parts[0].split(b"\n") if payload.framing == "lines" else payload.parts
    return [json.loads(line) for line in lines if line]


def _features(
    ids: list[str],
    errors: list[ItemError],
    duplicates: dict[int, str],
    items: int,
    rows: list[int] | None = None,
) -> Features:
    values = np.arange(len(ids) * COLUMNS, dtype=np.float32).tobytes()
    return Features(
        items=items,
        columns=COLUMNS,
        values=values,
        context=json.dumps([ids, list(duplicates)]).encode(),
        rows=list(range(len(ids))) if rows is None else rows,
        event_ids=ids,
        errors=errors,
        duplicates=duplicates,
    )
