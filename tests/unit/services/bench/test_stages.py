"""What each stage costs, by stage."""

from __future__ import annotations

from pathlib import Path

from models.bundle import Bundle
from preprocessing.event import AuthEvent, encode_event
from services.bench.stages import run_stages
from services.bench.traffic import save


def test_every_stage_is_named_and_every_event_counted(
    bundle: Bundle, training_events: list[AuthEvent], tmp_path: Path
) -> None:
    save(tmp_path / "events.ndjson", map(encode_event, training_events[:500]))
    staged = run_stages(bundle.path, tmp_path / "events.ndjson", 2000, warm_up=1000)
    assert staged.events == 2000
    assert {"decode", "observe", "isolation_forest", "decide", "learn"} <= staged.us.keys()
    assert staged.total_us == sum(staged.us.values()) > 0
    assert 0 <= staged.evidence <= 1
