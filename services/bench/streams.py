"""A graph between a topic and a store: how many events a second, and how late."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from services.backends.server import Say, Server
from services.bench.accounts import Account, account, times
from services.bench.outcome import Latency
from services.bench.places import database, servers
from services.bench.subject import BenchError, Subject, start
from services.bench.topics import Topics
from services.bench.traffic import load as load_traffic
from services.node import free_ports

StoreKind = Literal["sqlite", "postgres"]
#: Share of the sustained rate that lags are measured at, and of the events.
PACED_RATE, PACED_SHARE = 0.6, 0.1
#: The group gets no further for so long: something is wrong, seconds.
STUCK_S = 120.0
_LOOK_S = 0.5


class Streamed(msgspec.Struct, frozen=True):
    """A filled topic worked off, then events at a pace. Lags are from the time a message was
    sent until its verdict, on record by then, was published."""

    store: StoreKind
    events: int
    events_per_s: float
    paced_events: int
    paced_per_s: float
    lag_ms: Latency
    account: Account


@dataclass(slots=True)
class Place:
    """A graph with its topics and its store, to be started and started again."""

    bundle: Path
    home: Path
    topics: Topics
    servers: dict[str, Server]
    database: str | None
    history: str | None = None
    nodes: list[Subject] = field(default_factory=list)

    @property
    def store(self) -> str:
        return self.database or str(self.home / "store")

    @property
    def kafka_settings(self) -> Path:
        return self.home / "kafka.yaml"

    def start(self, name: str = "node") -> Subject:
        """Start a node; one of a name that ran before goes on from what it has kept."""
        port = free_ports(1)[0]
        command = ["-m", "services.cli", "serve", "--auth", "none", "--bundle", str(self.bundle)]
        command += ["--port", str(port), "--kafka", self.topics.bootstrap]
        command += ["--kafka-settings", str(self.kafka_settings)]
        command += ["--state-dir", str(self.home / f"state-{name}")]
        command += ["--store-dir", str(self.home / "store")]
        command += ["--database", self.database] if self.database else []
        command += ["--history", self.history] if self.history else []
        node = start(command, self.home / name, port, {}, self.home / f"{name}.log")
        self.nodes.append(node)
        return node

    def stop(self) -> None:
        """End every node."""
        for node in self.nodes:
            node.stop()
        self.nodes.clear()

    def wait(self, *, patience_s: float = STUCK_S) -> None:
        """Until the group has committed everything; raises :class:`BenchError` if it is stuck."""
        least, since = None, time.monotonic()
        while behind := self.topics.behind():
            if least is None or behind < least:
                least, since = behind, time.monotonic()
            if time.monotonic() - since > patience_s:
                raise BenchError(f"{behind:,} events are not worked off after {patience_s:.0f} s")
            time.sleep(_LOOK_S)


@contextmanager
def place(
    home: Path, bundle: Path, kind: StoreKind, say: Say, *, history: bool = False
) -> Iterator[Place]:
    """Servers, topics and a database for one run, all of it gone afterwards."""
    names = [
        "kafka",
        *(["postgres"] if kind == "postgres" else []),
        *(["redis"] if history else []),
    ]
    with ExitStack() as stack:
        found = stack.enter_context(servers(names, say))
        topics = Topics(found["kafka"].address)
        where = home / topics.name
        stack.callback(shutil.rmtree, where, ignore_errors=True)
        name = stack.enter_context(database(found["postgres"])) if kind == "postgres" else None
        shared = f"{found['redis'].address}?name={topics.name}" if history else None
        made = Place(bundle, where, topics, found, name, shared)
        topics.make(made.kafka_settings)
        stack.callback(topics.drop)
        stack.callback(made.stop)
        yield made


def run_stream(
    home: Path, bundle: Path, events: Path, kind: StoreKind, count: int, say: Say
) -> Streamed:
    """Work off a filled topic, then keep up with a pace; count everything."""
    traffic = load_traffic(events, run="stream")
    with place(home, bundle, kind, say) as here:
        say(f"writing {count:,} events to the topic")
        here.topics.fill(traffic.event() for _ in range(count))
        say("starting the graph")
        here.start()
        here.wait()
        filled = times(here.topics)
        say(f"{filled.events_per_s:,.0f} events/s; now at a pace")
        per_s = PACED_RATE * filled.events_per_s
        paced = max(1, round(PACED_SHARE * count))
        first = traffic.number
        here.topics.pace((traffic.event() for _ in range(paced)), per_s)
        here.wait()
        ids = [f"stream-{number}" for number in range(first, first + paced)]
        return Streamed(kind, count, filled.events_per_s, paced, per_s,
                        times(here.topics, ids).lag, account(here.topics, here.store))  # fmt: skip
