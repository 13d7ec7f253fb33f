"""A verdict over the threshold explains a year later as it did at once, from every store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from ensemble.explain.asked import Asked
from ensemble.explain.methods import METHODS, Method
from ensemble.explain.scoring import scored
from ensemble.scorer import Scorer
from models.bundle import Bundle
from preprocessing.event import AuthEvent
from services.deployments import Explainer
from services.storage.base import Kept, Store
from services.wire import Question, Recorded
from tests.contracts.stores import DAY_S, NOW_S, Make, run, trimmed


def on_record(asked: Sequence[Asked], events: Sequence[AuthEvent], bundle: Bundle) -> Recorded:
    evidence = {row: one.evidence for row, one in enumerate(asked) if one.evidence is not None}
    return Recorded(
        event_ids=[event.event_id for event in events],
        verdicts=[msgspec.json.encode(one.verdict) for one in asked],
        columns=len(asked[0].values),
        values=np.stack([one.values for one in asked]).tobytes(),
        stamps=np.array([event.timestamp.timestamp() for event in events]).tobytes(),
        addresses=[event.source_ip or "" for event in events],
        evidence={row: msgspec.msgpack.encode(one) for row, one in evidence.items()},
        alerts=[row for row, one in enumerate(asked) if one.verdict.is_anomaly],
        version=bundle.version,
        path=str(bundle.path),
        events=[msgspec.msgpack.encode(event) for event in events],
    )


async def explained(bundle: Bundle, kept: Kept) -> dict[Method, Any]:
    """By a replica that has just started."""
    assert kept.values is not None
    explainer = Explainer(str(bundle.path))
    return {
        method: await explainer.explain(
            Question(method, kept.version, kept.path, kept.verdict, kept.values, kept.evidence)
        )
        for method in METHODS
    }


def test_a_verdict_explains_a_year_later_as_it_did_at_once(
    make: Make, bundle: Bundle, fresh_events: list[AuthEvent]
) -> None:
    events = fresh_events[:100]
    asked = scored(Scorer(bundle), events, bundle.version, NOW_S)
    alarm = next(one.verdict.event_id for one in asked if one.verdict.is_anomaly)
    ordinary = next(one.verdict.event_id for one in asked if one.verdict.score < 0.9)

    async def talk(store: Store) -> None:
        await store.append([on_record(asked, events, bundle)], NOW_S)
        at_once = await store.get(alarm)
        assert at_once is not None
        told = await explained(bundle, at_once)
        assert await store.get(ordinary) is not None

        assert await trimmed(store, NOW_S + 364 * DAY_S) > 0

        later = await store.get(alarm)
        assert later == at_once
        assert later.event == msgspec.msgpack.encode(next(e for e in events if e.event_id == alarm))
        assert await explained(bundle, later) == told
        assert await store.get(ordinary) is None

    run(talk(make()))
