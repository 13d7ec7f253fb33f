"""A history made from what is on record is the one that scoring made."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from ensemble.scorer import Scorer
from ensemble.verdict import Verdict
from models.bundle import Bundle
from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.journal import JournaledHistory
from services import rebuilding
from services.cli import main
from services.rebuilding import Rebuilding
from services.storage.base import Limits
from services.storage.opening import open_store
from services.wire import Recorded
from tests.unit.services.storage.batches import batch

NOW_S = 4e9
ROOMY = Limits(most_bytes=1 << 40, most_days=1e6, most_alert_days=1e6)


def recorded(events: Sequence[AuthEvent], verdicts: Sequence[Verdict]) -> Recorded:
    """As the graph records them."""
    stamps = np.array([each.timestamp.timestamp() for each in events])
    encoded = [msgspec.msgpack.encode(each) for each in events]
    return replace(batch(*verdicts), stamps=stamps.tobytes(), events=encoded)


def scored(bundle: Bundle, events: Sequence[AuthEvent], folder: Path) -> EmbeddedHistory:
    """Have a store hold the verdicts of events; gives the history of who scored them."""
    scorer = Scorer(bundle)
    store = open_store(str(folder), ROOMY)
    for at in range(0, len(events), 250):
        part = events[at : at + 250]
        verdicts = scorer.score(part, now_s=part[-1].timestamp.timestamp())
        asyncio.run(store.append([recorded(part, verdicts)], NOW_S))
    store.close()
    assert isinstance(scorer.history, EmbeddedHistory)
    return scorer.history


def test_a_rebuilt_history_is_the_one_that_scoring_made(
    bundle: Bundle,
    fresh_events: list[AuthEvent],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rebuilding, "PAGE", 250)  # learned as often as scoring did
    live = scored(bundle, fresh_events, tmp_path)
    store = open_store(str(tmp_path), ROOMY)
    made, pages = Rebuilding(store, bundle), list[int]()
    asyncio.run(made.run(made.begins_s, NOW_S, pages.append))
    store.close()
    assert (made.events, made.unreadable, sum(pages)) == (1000, 0, 1000)
    assert 0 < made.learned < 1000
    assert made.history.snapshot() == live.snapshot()


def test_events_that_the_bundle_knows_are_not_observed_again(
    bundle: Bundle, training_events: list[AuthEvent], tmp_path: Path
) -> None:
    scored(bundle, training_events[:250], tmp_path)
    store = open_store(str(tmp_path), ROOMY)
    made = Rebuilding(store, bundle)
    asyncio.run(made.run(made.begins_s, NOW_S, lambda _: None))
    store.close()
    assert made.events == 0


def test_the_command_fills_the_folder_of_a_stopped_graph(
    bundle: Bundle,
    fresh_events: list[AuthEvent],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    live = scored(bundle, fresh_events, tmp_path / "store")
    words = ["history", "rebuild", "--bundle", str(bundle.path), "--state-dir",
             str(tmp_path / "state"), "--from-store", str(tmp_path / "store")]  # fmt: skip
    assert main(words) == 0
    assert "1,000 events observed" in capsys.readouterr().out
    kept = JournaledHistory(tmp_path / "state")
    assert kept.users == live.users
    assert kept.observe(fresh_events, now_s=NOW_S).values.shape[0] == 1000
    assert main(words) == 2, "somebody uses the folder"
    assert "in use by process" in capsys.readouterr().err
    kept.close()
