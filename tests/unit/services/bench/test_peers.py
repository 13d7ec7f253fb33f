"""Peers: what counts as answered, ratios of the same round, and servers that are ended."""

import sys
from pathlib import Path

import pytest
from rich.console import Console

from services.bench.outcome import Latency, Outcome
from services.bench.peers import (
    Compared,
    Fitted,
    Peer,
    Visit,
    compare,
    fit_peers,
    serving,
)
from services.bench.peers_table import (
    Row,
    best_connections,
    peers_rows,
    peers_table,
    resources_table,
    rows,
)
from services.bench.rounds import Plan
from services.bench.subject import BenchError
from services.node import free_ports

PLAN = Plan(events="traffic.ndjson", runs=3, seconds=2.0)
FITTED = Fitted(bundle="bundle", model="2026-11-22.1", support_vectors=304)
OURS = Peer("ztad", lambda port: [])
THEIRS = Peer("theirs", lambda port: [], 80.0, 4.0)


def load(rate: float, errors: int = 0) -> Outcome:
    told = Latency(p50=7.0, p99=9.0)
    return Outcome(seconds=1.0, events=round(rate), latency_ms=told, statuses={"503": errors})


def visit(at_16: float, at_64: float, batches: float) -> Visit:
    singles = {16: load(at_16), 64: load(at_64, errors=2)}
    return Visit(singles, load(batches), 60.0, 20.0, 900.0)


def compared(*rounds: dict[str, Visit]) -> Compared:
    return Compared(started="", cores=2, plan=PLAN, fitted=FITTED, rounds=list(rounds))


def of(name: str, made: Compared) -> list[Row]:
    return [row for row in rows(made, (OURS, THEIRS)) if row.name == name]


def test_ratios_are_of_the_same_round() -> None:
    made = compared(
        {"ztad": visit(500, 1000, 50_000), "theirs": visit(20, 10, 5_000)},
        {"ztad": visit(500, 2000, 40_000), "theirs": visit(10, 10, 20_000)},
        {"ztad": visit(500, 1500, 60_000), "theirs": visit(20, 10, 10_000)},
    )
    singles, batches = of("theirs", made)
    assert singles.load == "single events, 16"
    assert singles.ratios == [50.0, 200.0, 75.0]
    assert batches.ratios == [10.0, 2.0, 6.0]
    assert (singles.met, batches.met) == ("below", "goal")
    assert [row.ratios for row in of("ztad", made)] == [[1.0] * 3, [1.0] * 3]


def test_each_counts_at_the_connections_that_suit_it_best() -> None:
    visits = [visit(30, 10, 1), visit(10, 12, 1), visit(10, 13, 1)]
    assert best_connections(visits) == 64


def test_a_round_without_one_of_them_has_no_ratio() -> None:
    made = compared({"theirs": visit(20, 10, 5_000)}, {"ztad": visit(500, 1000, 50_000)})
    singles, _ = of("theirs", made)
    assert (singles.ratios, singles.met) == ([], "")


def test_nothing_is_infinitely_slower() -> None:
    made = compared({"ztad": visit(1, 1, 1), "theirs": visit(0, 0, 0)})
    assert [row.ratios for row in of("theirs", made)] == [[float("inf")], [float("inf")]]


def test_what_is_kept_has_a_name_whatever_the_connections_and_no_infinity() -> None:
    made = compared({"ztad": visit(500, 1000, 50_000), "theirs": visit(20, 10, 0)})
    told = [(row.what, row.unit, row.median) for row in peers_rows(made, (OURS, THEIRS))]
    assert told == [
        ("ztad: single events", "events/s", 1000.0),
        ("ztad: batches of 1,000", "events/s", 50_000.0),
        ("theirs: single events", "events/s", 20.0),
        ("theirs: single events, ztad", "x", 50.0),
        ("theirs: batches of 1,000", "events/s", 0.0),
    ]


def test_tables_show_everything() -> None:
    made = compared({"ztad": visit(500, 1000, 50_000), "theirs": visit(20, 10, 5_000)})
    console = Console(width=130)
    peers = (OURS, THEIRS, Peer("absent", lambda port: []))
    with console.capture() as shown:
        console.print(peers_table(made, peers), resources_table(made, peers))
    text = shown.get()
    assert "304 support vectors" in text
    assert "did not run" in text
    assert all(name in text for name in ("theirs", "50.0", "80", "goal", "below"))


def test_a_server_that_ends_at_once_is_told_and_left_out(tmp_path: Path) -> None:
    said: list[str] = []
    broken = Peer("broken", lambda port: ["sh", "-c", "echo no models >&2; exit 3"])
    plan = Plan(events="", runs=1, seconds=1.0)
    made = compare([broken], FITTED, plan, tmp_path, said.append)
    assert made.rounds == [{}]
    assert said[-1].strip() == "it did not start: no models"


def test_what_a_server_started_ends_with_it(tmp_path: Path) -> None:
    program = (
        "import http.server, subprocess, sys\n"
        "class Ready(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self): self.send_response(200); self.end_headers()\n"
        "subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Ready).serve_forever()\n"
    )
    port = free_ports(1)[0]
    command = [sys.executable, "-c", program, str(port)]
    with serving(command, port, tmp_path, tmp_path / "log") as server:
        started = server.processes()
        assert {each.name().split(" ")[0] for each in started} >= {"sleep"}
        assert server.ready_s > 0
    assert server.processes() == []
    assert not any(each.is_running() for each in started)


def test_without_the_packages_the_way_to_get_them_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.bench.peers.PYTHON", tmp_path / "python")
    with pytest.raises(BenchError, match="make bench-peers"):
        fit_peers(tmp_path, tmp_path)
