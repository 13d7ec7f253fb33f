"""The load generator against a tiny server on the loopback interface."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from preprocessing.event import decode_event
from services.bench.load import compiled, finish_load, start_load
from services.bench.machine import CpuWatch, calibrate, title_name
from services.bench.outcome import Job, Outcome
from services.bench.subject import BenchError
from services.bench.traffic import load

ANN = b'{"timestamp":"2005-01-05T09:00:00Z","user_id":"ann","outcome":"success"}\n'
BOB = (
    b'{"timestamp":"2005-02-28T23:59:59.999+05:30","user_id":"b\\"ob","outcome":"failure",'
    b'"source_ip":"81.2.3.4"}\n'
)
Reply = Callable[[int], bytes]
VERDICT = b'{"is_anomaly":false}'


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass
class Server:
    """Answers the nth request with ``reply(n)``; an empty reply closes the connection."""

    reply: Reply
    port: int = 0
    piece: int = 1 << 20
    hold: asyncio.Event | None = None
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._one(reader, writer):
                pass
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        self.bodies.append(await reader.readexactly(length))
        said = self.reply(len(self.bodies))
        if self.hold is not None:
            await self.hold.wait()
        for at in range(0, len(said), self.piece):
            writer.write(said[at : at + self.piece])
            await writer.drain()
            await asyncio.sleep(0)
        return bool(said)


@asynccontextmanager
async def listening(server: Server) -> AsyncIterator[Server]:
    found = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=1 << 24)
    async with found:
        server.port = found.sockets[0].getsockname()[1]
        yield server


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Compiled once for all of them."""
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("home")
        patch.setenv("ZTAD_HOME", str(path))
        yield path


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.ndjson"
    path.write_bytes(ANN + BOB)
    return path


def job_of(events: Path, port: int, **options: float | bool | str) -> Job:
    told: dict[str, object] = {
        "host": "127.0.0.1", "port": port, "events": str(events), "run": "t", "seconds": 0.3,
        "settle_s": 0.05, "connections": 4,
    }  # fmt: skip
    return msgspec.convert(told | options, type=Job)


def outcome_of(events: Path, server: Server, **options: float | bool | str) -> Outcome:
    async def go() -> Outcome:
        async with listening(server):
            run = start_load(job_of(events, server.port, **options))
            return await asyncio.to_thread(finish_load, run)

    return asyncio.run(go())


def always(said: bytes) -> Reply:
    return lambda number: said


def test_closed_loop_counts_what_comes_back(events: Path) -> None:
    body = b'{"is_anomaly":true,"degraded":true,"duplicate":false}'
    found = outcome_of(events, Server(always(answer(body))))
    total = found.statuses["200"]
    assert found.statuses == {"200": total}
    assert found.alerts == found.degraded == total
    assert found.duplicates == found.refused == 0
    assert 0 < found.requests <= total
    assert found.latency_ms.max > 0
    assert found.cpu_s > 0


def test_batches_count_their_events(events: Path) -> None:
    said = answer(b'{"error":{}}\n{"is_anomaly":true,"degraded":false,"duplicate":true}')
    found = outcome_of(events, Server(always(said)), batch=2)
    assert found.events == 2 * found.requests
    assert found.refused == found.duplicates == found.alerts == found.statuses["200"]
    assert found.missing == 0


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        (answer(b"\n".join([VERDICT] * 3)), 2),
        (answer(b"[" + b", ".join([VERDICT.replace(b":", b": ")] * 5) + b"]"), 0),
        (answer(b""), 5),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + VERDICT * 5, 5),
    ],
    ids=["too few", "in an array", "none", "of unknown length"],
)
def test_an_answer_without_the_verdicts_that_were_asked_for(
    events: Path, said: bytes, missing: int
) -> None:
    found = outcome_of(events, Server(always(said)), batch=5)
    assert found.missing == found.errors == missing * found.statuses["200"]


def test_a_constant_has_no_verdicts(events: Path) -> None:
    found = outcome_of(events, Server(always(answer(VERDICT))), batch=5, constant=True)
    assert found.errors == 0


@pytest.mark.parametrize(
    ("batch", "options", "path", "told"),
    [
        (0, {}, b"/v1/score", b"application/json"),
        (20, {}, b"/v1/score/batch", b"application/x-ndjson"),
        (3, {"content_type": "application/json", "path": "/p"}, b"/p", b"application/json"),
    ],
)
def test_requests_are_those_of_traffic(
    events: Path, batch: int, options: dict[str, str], path: bytes, told: bytes
) -> None:
    """What C makes of the templates is what Python makes of them, to the byte."""
    server = Server(always(answer(b"{}")))
    number = 7
    found = outcome_of(events, server, batch=batch, number=number, rate=50.0, key="k1", **options)
    traffic = load(events, run="t", number=number)
    expected = [traffic.batch(batch) if batch else traffic.event() for _ in server.bodies]
    if options:
        expected = [b"[" + each.replace(b"\n", b",") + b"]" for each in expected]
    assert server.bodies == expected
    assert found.next_number == traffic.number
    assert server.heads[0].startswith(b"POST " + path + b" HTTP/1.1\r\n")
    assert b"Content-Type: " + told + b"\r\nAuthorization: Bearer k1\r\n" in server.heads[0]


def test_no_event_is_of_the_future(events: Path) -> None:
    server = Server(always(answer(b"{}")))
    outcome_of(events, server, number=4_000_000, rate=50.0)
    times = [decode_event(body, now_s=time.time()).timestamp for body in server.bodies]
    assert max(times) <= datetime.now(UTC)
    assert min(times) > datetime.now(UTC) - timedelta(hours=1)


@pytest.mark.parametrize("piece", [1, 7, 40])
def test_answers_in_pieces(events: Path, piece: int) -> None:
    said = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length:  15 \r\n\r\n" + b'{"score": 0.25}'
    found = outcome_of(events, Server(always(said), piece=piece))
    assert set(found.statuses) == {"200"}


def test_a_body_larger_than_what_is_read_at_once(events: Path) -> None:
    body = b'{"is_anomaly":true}' * 20_000
    found = outcome_of(events, Server(always(answer(body))), batch=2000, connections=1)
    assert found.alerts == 20_000 * found.statuses["200"]


def test_other_statuses_and_lost_connections(events: Path) -> None:
    replies = [b"", answer(b"{}", "503 Busy"), answer(VERDICT)]
    found = outcome_of(events, Server(lambda number: replies[number % 3]))
    assert set(found.statuses) == {"200", "503", "connection lost"}
    assert found.errors == found.statuses["503"] + found.statuses["connection lost"]


@pytest.mark.parametrize(
    "said",
    [b"HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n", b"HTTP/1.0 500 Oops\r\n\r\n"],
)
def test_the_last_answer_of_a_connection(events: Path, said: bytes) -> None:
    server = Server(always(said))
    found = outcome_of(events, server)
    assert set(found.statuses) == {"500"}
    assert server.connections == found.statuses["500"]


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
        answer(b"{}") + b"more than was asked for",
        b"x" * 70_000,
    ],
)
def test_what_cannot_be_measured(events: Path, said: bytes) -> None:
    found = outcome_of(events, Server(always(said)))
    assert set(found.statuses) == {"malformed answer"}
    assert found.requests == 0


def test_at_a_rate_every_request_is_sent_and_times_are_of_the_schedule(events: Path) -> None:
    found = outcome_of(
        events, Server(always(answer(b"{}"))), rate=200.0, seconds=0.5, settle_s=0.0, timeline=True
    )
    assert found.statuses == {"200": 100}
    due = sorted(each.sent for each in found.timeline)
    assert [round((each - due[0]) * 200.0) for each in due] == list(range(100))
    assert all(each.answered >= each.sent for each in found.timeline)


def test_at_a_rate_nobody_waits_for_the_server(events: Path) -> None:
    """All requests of the schedule arrive although not one is answered until the last has come."""

    async def go() -> tuple[Outcome, int]:
        hold = asyncio.Event()

        def reply(number: int) -> bytes:
            if number == 50:
                hold.set()
            return answer(b"{}")

        async with listening(Server(reply, hold=hold)) as server:
            run = start_load(
                job_of(events, server.port, rate=500.0, seconds=0.1, settle_s=0.0, timeline=True)
            )
            return await asyncio.to_thread(finish_load, run), server.connections

    found, connections = asyncio.run(go())
    assert found.statuses == {"200": 50}
    assert connections == 50
    last_due = max(each.sent for each in found.timeline)
    assert all(each.answered > last_due for each in found.timeline)


def test_nobody_listens(events: Path) -> None:
    found = finish_load(start_load(job_of(events, 9, connections=1)))
    assert set(found.statuses) == {"refused"}
    assert found.requests == 0


def test_a_long_timeline_waits_for_its_reader(events: Path) -> None:
    run = start_load(job_of(events, 9, rate=5000.0, timeline=True))
    run.process.wait(30)
    assert len(finish_load(run).timeline) > 1000


def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BenchError, match="apt install gcc"):
        compiled(tmp_path)


def test_it_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = compiled(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compiled(tmp_path) == program
    assert [each.name for each in tmp_path.iterdir()] == [program.name]


def test_no_such_host(events: Path, capfd: pytest.CaptureFixture[str]) -> None:
    job = msgspec.structs.replace(job_of(events, 9), host="no such host")
    with pytest.raises(BenchError, match="failed"):
        finish_load(start_load(job))
    assert "no such host" in capfd.readouterr().err


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
