"""The smallest of the peers, measured for real: started, loaded, ended."""

from pathlib import Path

import pytest

from services.bench.peers import PEERS, PYTHON, Fitted, compare
from services.bench.rounds import Plan
from services.bench.traffic import save

EVENT = b'{"timestamp":"2026-11-20T08:15:00Z","user_id":"ann","outcome":"success","event_id":"1"}'


def test_a_noop_answers_every_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not PYTHON.exists():
        pytest.skip("the peers' packages are not installed: make bench-peers")
    monkeypatch.setattr("services.bench.peers.WARM_UP_S", 0.1)
    noop = next(each for each in PEERS if each.name == "uvicorn no-op")
    save(tmp_path / "traffic.ndjson", [EVENT] * 3)
    plan = Plan(events=str(tmp_path / "traffic.ndjson"), runs=1, seconds=0.1)
    made = compare([noop], Fitted("", "", 0), plan, tmp_path, lambda text: None)
    visit = made.rounds[0][noop.name]
    assert all(each.requests > 0 for each in (*visit.singles.values(), visit.batches))
    assert [each.errors for each in (*visit.singles.values(), visit.batches)] == [0, 0, 0, 0]
    assert visit.batches.events == 1000 * visit.batches.requests
    assert visit.ready_s is not None
    assert visit.ready_s > 0
