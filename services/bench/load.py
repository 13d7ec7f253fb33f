"""The load generator, a process of its own: a :class:`Job` on stdin, an :class:`Outcome` on stdout.

Run by ``ztad bench`` as ``python -m services.bench.load``.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvloop

from services.bench.connection import Answer, Connection
from services.bench.outcome import OK, Answered, Job, Outcome, latency
from services.bench.traffic import Traffic, head, load

#: A request without an answer for so long is given up, seconds.
PATIENCE_S = 15.0
#: Pause before a lost connection is made again, seconds.
RECONNECT_S = 0.05
#: Most connections that requests at a fixed rate may hold open; beyond, they are "not sent".
MOST_CONNECTIONS = 3000

Send = Callable[[Connection, float], None]


class Tally:
    """Counts answers as they come."""

    def __init__(self, job: Job, start: float) -> None:
        self._from = start + job.settle_s
        self.until = self._from + job.seconds
        self._timeline = job.timeline
        self._latencies: list[float] = []
        self._statuses: Counter[str] = Counter()
        self.outcome = Outcome(seconds=job.seconds)

    def count(self, connection: Connection, status: str, body: bytes, now: float) -> None:
        """One request has ended, with an answer or without."""
        outcome = self.outcome
        self._statuses[status] += 1
        degraded = body.count(b'"degraded":true')
        outcome.degraded += degraded
        outcome.alerts += body.count(b'"is_anomaly":true')
        outcome.duplicates += body.count(b'"duplicate":true')
        outcome.refused += body.count(b'"error":{') if status == OK else 0
        if self._timeline:
            outcome.timeline.append(Answered(connection.sent, now, status, degraded > 0))
        if status == OK and connection.sent >= self._from and now <= self.until:
            outcome.requests += 1
            outcome.events += connection.events
            self._latencies.append(now - connection.sent)

    def finish(self, start: float) -> Outcome:
        """Everything that was counted."""
        outcome = self.outcome
        outcome.statuses = dict(self._statuses)
        outcome.latency_ms = latency(self._latencies)
        outcome.cpu_s = time.process_time()
        outcome.elapsed_s = time.monotonic() - start
        return outcome


class Load:
    """Drives connections until the time is over."""

    def __init__(self, job: Job, traffic: Traffic) -> None:
        self._job = job
        self._traffic = traffic
        single = job.batch == 0
        self._events = job.batch or 1
        self._head = head(
            "/v1/score" if single else "/v1/score/batch",
            f"{job.host}:{job.port}",
            content_type="application/json" if single else "application/x-ndjson",
            key=job.key,
        )
        self._open: set[Connection] = set()
        self._free: list[Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._tally = Tally(job, 0.0)

    async def run(self) -> Outcome:
        """Send for the asked time, then wait for what is still out."""
        start = time.monotonic()
        self._tally = Tally(self._job, start)
        if self._job.rate:
            await self._at_a_rate()
        else:
            for _ in range(self._job.connections):
                self._spawn()
            await asyncio.sleep(self._tally.until - start)
        await self._drain()
        return self._tally.finish(start)

    def answered(self, connection: Connection, answer: Answer) -> None:
        """Counts, and sends the next request if connections send by themselves."""
        now = time.monotonic()
        self._tally.count(connection, str(answer.status), answer.body, now)
        if answer.last:
            return
        if self._job.rate:
            self._free.append(connection)
        elif now < self._tally.until:
            self._send(connection, now)

    def ended(self, connection: Connection, reason: str) -> None:
        """Counts a request that was lost with its connection, and connects again."""
        self._open.discard(connection)
        if connection.busy:
            connection.busy = False
            self._tally.count(connection, reason, b"", time.monotonic())
        if connection in self._free:
            self._free.remove(connection)
        if not self._job.rate and time.monotonic() < self._tally.until:
            self._spawn(RECONNECT_S)

    async def _at_a_rate(self) -> None:
        interval = 1.0 / self._job.rate
        due = time.monotonic()
        while due < self._tally.until:
            await asyncio.sleep(due - time.monotonic())
            if self._free:
                self._send(self._free.pop(), time.monotonic())
            elif len(self._open) + len(self._tasks) < MOST_CONNECTIONS:
                self._spawn()
            else:
                self._not_sent()
            due += interval

    def _not_sent(self) -> None:
        """An outage so long that there are no connections left; counted as the error it is."""
        connection = Connection(self)
        connection.sent = time.monotonic()
        self._tally.count(connection, "not sent", b"", connection.sent)

    def _spawn(self, pause_s: float = 0.0) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(pause_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, pause_s: float) -> None:
        """Open a connection and send its first request; a refusal is a request that failed."""
        await asyncio.sleep(pause_s)
        started = time.monotonic()
        connection = Connection(self)
        connection.sent, connection.events = started, self._events
        try:
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection, self._job.host, self._job.port
                )
        except OSError:
            self._tally.count(connection, "refused", b"", time.monotonic())
            if not self._job.rate and time.monotonic() < self._tally.until:
                self._spawn(RECONNECT_S)
            return
        self._open.add(connection)
        self._send(connection, started)

    def _send(self, connection: Connection, now: float) -> None:
        job = self._job
        body = self._traffic.batch(job.batch) if job.batch else self._traffic.event()
        connection.send(self._head + b"%d\r\n\r\n%b" % (len(body), body), self._events, now)

    async def _drain(self) -> None:
        """Wait for answers that are still out; those that never come are timeouts."""
        for _ in range(round(PATIENCE_S / 0.02)):
            if not any(each.busy for each in self._open):
                break
            await asyncio.sleep(0.02)
        for connection in list(self._open):
            if connection.busy:
                connection.busy = False
                self._tally.count(connection, "timeout", b"", time.monotonic())
            connection.close()


def _allow_connections(most: int) -> None:
    """Raise the soft limit of open files as far as the hard one lets us."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + 100 if hard == resource.RLIM_INFINITY else min(hard, most + 100)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> int:
    """Read the job, run it, write the outcome."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    _allow_connections(MOST_CONNECTIONS)
    traffic = load(Path(job.events), run=job.run, number=job.number)
    gc.freeze()
    before = time.process_time()
    outcome = uvloop.run(Load(job, traffic).run())
    outcome.cpu_s -= before
    outcome.next_number = traffic.number
    sys.stdout.buffer.write(msgspec.json.encode(outcome))
    return 0


if __name__ == "__main__":
    sys.exit(main())
