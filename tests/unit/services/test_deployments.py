"""What a deployment makes of versions that are not as they should be."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from models.bundle import Bundle
from preprocessing.event import AuthEvent, encode_event
from services.deployments import Preprocessor
from services.routing import Live, Routing
from services.wire import Payload


def test_a_shadow_that_is_gone_keeps_nobody_from_an_answer(
    bundle: Bundle, fresh_events: list[AuthEvent], tmp_path: Path
) -> None:
    champion = Live("champion", bundle.version, str(bundle.path))
    routing = Routing((champion,), Live("shadow", "gone", str(tmp_path / "gone"), 0.0))
    stage = Preprocessor(str(bundle.path), None)
    payload = Payload([encode_event(event) for event in fresh_events[:3]], "events", [], routing)
    features = asyncio.run(stage.prepare(payload))
    assert [part.items for part in features.parts] == [[0, 1, 2]]
    assert features.shadow is None


def test_events_go_on_record_as_they_were_decoded(
    bundle: Bundle, fresh_events: list[AuthEvent]
) -> None:
    """With the part that answers; what watches is on record without."""
    live = Live("champion", bundle.version, str(bundle.path))
    routing = Routing((live,), Live("shadow", bundle.version, str(bundle.path), 0.0))
    stage = Preprocessor(str(bundle.path), None)
    parts = [encode_event(fresh_events[0]), b"{}", encode_event(fresh_events[1])]
    features = asyncio.run(stage.prepare(Payload(parts, "events", [], routing)))
    (part,) = features.parts
    decoded = [msgspec.msgpack.decode(each, type=AuthEvent) for each in part.events]
    assert decoded == fresh_events[:2]
    assert features.shadow is not None
    assert features.shadow.events == []
