"""What a deployment makes of versions that are not as they should be."""

from __future__ import annotations

import asyncio
from pathlib import Path

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
