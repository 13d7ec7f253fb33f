"""The load generator against a tiny server on the loopback interface."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from services.bench.load import Load
from services.bench.machine import CpuWatch, calibrate, title_name
from services.bench.outcome import Job, Outcome
from services.bench.subject import finish_load, start_load
from services.bench.traffic import load

EVENT = b'{"timestamp":"2026-01-05T09:00:00Z","user_id":"ann","outcome":"success"}\n'
Reply = Callable[[int], bytes]


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@asynccontextmanager
async def server(reply: Reply) -> AsyncIterator[int]:
    """Answers the nth request with ``reply(n)``; an empty reply closes the connection."""
    seen = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                seen += 1
                said = reply(seen)
                if not said:
                    break
                writer.write(said)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.ndjson"
    path.write_bytes(EVENT)
    return path


def outcome_of(events: Path, reply: Reply, **options: float | bool) -> Outcome:
    async def go() -> Outcome:
        async with server(reply) as port:
            job = Job(host="127.0.0.1", port=port, events=str(events), run="t", seconds=0.3,
                      settle_s=0.05, connections=4, **options)  # type: ignore[arg-type] # fmt: skip
            return await Load(job, load(events, run="t")).run()

    return asyncio.run(go())


def test_closed_loop_counts_what_comes_back(events: Path) -> None:
    body = b'{"is_anomaly":true,"degraded":true,"duplicate":false}'
    found = outcome_of(events, lambda number: answer(body))
    total = found.statuses["200"]
    assert found.statuses == {"200": total}
    assert found.alerts == found.degraded == total
    assert found.duplicates == found.refused == 0
    assert 0 < found.requests <= total
    assert found.latency_ms.max > 0


def test_batches_count_their_events(events: Path) -> None:
    found = outcome_of(events, lambda number: answer(b'{"error":{}}\n{}'), batch=5)
    assert found.events == 5 * found.requests
    assert found.refused == found.statuses["200"]


def test_other_statuses_and_lost_connections(events: Path) -> None:
    def reply(number: int) -> bytes:
        return (
            b"" if number % 3 == 0 else answer(b"{}", "503 Busy" if number % 3 == 1 else "200 OK")
        )

    found = outcome_of(events, reply)
    assert set(found.statuses) == {"200", "503", "connection lost"}
    assert found.errors == found.statuses["503"] + found.statuses["connection lost"]


def test_a_rate_and_its_timeline(events: Path) -> None:
    found = outcome_of(events, lambda number: answer(b"{}"), rate=100.0, timeline=True)
    assert len(found.timeline) == found.statuses["200"] > 0
    assert all(each.answered >= each.sent for each in found.timeline)


def test_nobody_listens(events: Path) -> None:
    job = Job(host="127.0.0.1", port=9, events=str(events), run="t", seconds=0.2, connections=1)
    found = finish_load(start_load(job))
    assert set(found.statuses) == {"refused"}
    assert found.requests == 0


def test_a_long_timeline_waits_for_its_reader(events: Path) -> None:
    job = Job(host="127.0.0.1", port=9, events=str(events), run="t", seconds=0.5, connections=1,
              rate=5000.0, timeline=True)  # fmt: skip
    load_run = start_load(job)
    load_run.process.wait(30)
    assert len(finish_load(load_run).timeline) > 1000


def test_cpu_is_attributed(events: Path) -> None:
    import psutil

    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        watch = CpuWatch([psutil.Process(busy.pid)])
        assert calibrate() > 0
        found = watch.stop(0.0)
    finally:
        busy.kill()
        busy.wait()
    assert found.foreign >= 0
    assert found.ours["load generator"] == 0


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("ray::ServeReplica:ztad:Gateway", "Gateway"),
        ("ray::ServeReplica:ztad:Combiner.judge", "Combiner"),
        ("ray::ProxyActor", "ProxyActor"),
        ("/usr/bin/haproxy -f /tmp/x/haproxy.cfg", "haproxy"),
        ("/x/.venv/bin/python -m services.cli serve --port 1", "services.cli"),
        ("/x/bin/python -u /x/ray/_private/log_monitor.py --session", "log_monitor"),
        ("", ""),
    ],
)
def test_processes_have_short_names(title: str, name: str) -> None:
    assert title_name(title) == name
