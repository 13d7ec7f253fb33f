"""The log of operations in Redis: one order for all replicas, and a base to begin from.

Under ``{ztad:NAME}:FORMATS:`` lie ``log``, a stream of operations; ``base``, what is known of the
newest snapshot; the snapshot's chunks; and ``lock``, held by whoever writes the next one. All keys
have one hash tag, so a cluster keeps them on one node; the formats in their names keep another
version of ztad from misreading them. All of them expire when nobody used them for long.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from preprocessing.snapshots import SNAPSHOT_FORMAT
from services.shared_history import scripts
from services.shared_history.address import Where
from services.shared_history.operations import FORMAT, Operation, Replaced, Sent, decode, sent

#: Redis takes values up to 512 MB; small ones keep every single answer short.
CHUNK_BYTES = 4 * 2**20
#: What is written and never finished is gone after so long, seconds.
UNFINISHED_S = 3600
#: Whoever holds the lock has so long to write a snapshot of this size, seconds.
LOCK_S = 120

Standing = Literal["ok", "moved", "behind", "forked", "empty"]


class LogUnavailable(ConnectionError):
    """Redis did not do what it was asked; the message says why, without any secret."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation in the log."""

    id: str
    operation: Operation
    size: int

    @property
    def number(self) -> str:
        """The number that its sender gave it."""
        return self.id.partition("-")[2]


@dataclass(frozen=True, slots=True)
class Exchange:
    """The log's answer. ``standing`` is ``ok`` when the operations are appended, right after
    ``news``; ``moved`` when they were to be appended only without any; ``behind`` when there is
    more to read first. The log is ``empty``, or ``forked``: it does not know the last entry that
    the replica knows, and ``ids`` is its newest. ``base`` names the newest snapshot, empty without
    any.
    """

    standing: Standing
    base: str
    news: list[Entry]
    ids: list[str]


@dataclass(frozen=True, slots=True)
class Status:
    """What lies in Redis. ``entries`` of the log reach back to ``as_of``, which the snapshot holds
    already; ``written_s`` is when that was written, ``expires_s`` in how long all of it is gone
    unless somebody uses it. ``whole``: no part of the snapshot is missing."""

    entries: int
    snapshot_bytes: int
    written_s: int
    as_of: str
    memory_bytes: int
    whole: bool
    expires_s: int


@dataclass(frozen=True, slots=True)
class Server:
    """A Redis: whether it ``evicts`` keys when its memory is full, and ``appends`` to its disk what
    it is told."""

    version: str
    evicts: bool
    appends: bool


@dataclass(frozen=True, slots=True)
class Base:
    """A snapshot by its ``name``, and the entry of the log that it is ``as_of``. Up to the entry
    ``again_until``, if there is one, it knows of things in the log already, though not in order."""

    name: str
    as_of: str
    state: bytes
    again_until: str = ""


class RedisLog:
    """One connection to the log. Not thread-safe. Every method raises :class:`LogUnavailable`.

    ``hasty`` connections wait ``timeout_s`` at most, the others ``patience_s``.
    """

    def __init__(self, where: Where, *, hasty: bool) -> None:
        self._where = where
        self._redis = _client(where, where.timeout_s if hasty else where.patience_s)
        prefix = f"{{ztad:{where.name}}}:o{FORMAT}s{SNAPSHOT_FORMAT}"
        self._log, self._base, self._lock = (f"{prefix}:{it}" for it in ("log", "base", "lock"))
        self._chunks = f"{prefix}:snapshot"
        self._exchange = self._redis.register_script(scripts.EXCHANGE)
        self._begin = self._redis.register_script(scripts.BEGIN)
        self._commit = self._redis.register_script(scripts.COMMIT)
        self._hold = self._redis.register_script(scripts.HOLD)
        self._release = self._redis.register_script(scripts.RELEASE)

    def exchange(self, after: str, own: Sequence[Sent] = (), *, alone: bool = False) -> Exchange:
        """What others did since ``after``, and then ours, in one round trip."""
        where = self._where
        args: list[Any] = [after, where.keep_s, where.most_news_bytes, int(alone)]
        for one in own:
            args += (one.number, one.payload)
        answer = self._asked(self._exchange, [self._log, self._base], args)
        standing, base, news, ids = answer
        return Exchange(
            cast(Standing, standing.decode()),
            base.decode(),
            [Entry(id_.decode(), decode(payload), len(payload)) for id_, payload in news],
            [id_.decode() for id_ in ids],
        )

    def begin(self, state: bytes, grown_from: str, *, after: str = "") -> str | None:
        """Begin the log with a snapshot that knows what came up to the entry ``after`` of the log
        before; its first entry, or None if there is a log already."""
        first = sent(Replaced())
        id_ = f"{position(after) + 1}-{first.number}"
        fields = self._written(state, grown_from)
        args = [self._where.keep_s, id_, first.payload, *fields]
        if self._asked(self._begin, [self._log, self._base], args):
            self._kept(fields)
            return id_
        self._dropped(fields[1], int(fields[3]))
        return None

    def base(self) -> Base | None:
        """The newest snapshot; None without a whole one."""
        about = self._asked(self._redis.hgetall, self._base)
        if not about:
            return None
        names = _names(about[b"chunks"].decode(), int(about[b"count"]))
        chunks = [self._asked(self._redis.get, name) for name in names]
        state = b"".join(chunk for chunk in chunks if chunk is not None)
        if hashlib.sha256(state).hexdigest() != about[b"sha256"].decode():
            return None
        again_until = about.get(b"again_until", b"").decode()
        return Base(about[b"chunks"].decode(), about[b"id"].decode(), state, again_until)

    def disown(self) -> str:
        """The base is not whole: there is none. Whoever is abreast of the log writes another.
        Gives the newest entry of the log."""
        self._asked(self._redis.delete, self._base)
        newest = self._asked(self._redis.xrevrange, self._log, count=1)
        return newest[0][0].decode() if newest else ""

    def status(self) -> Status | None:
        """How the log is; None if there is none."""
        about = self._asked(self._redis.hgetall, self._base)
        if not about:
            return None
        names = _names(about[b"chunks"].decode(), int(about[b"count"]))
        sizes = [self._asked(self._redis.memory_usage, name) for name in (self._log, *names)]
        return Status(
            entries=self._asked(self._redis.xlen, self._log),
            snapshot_bytes=int(about[b"bytes"]),
            written_s=int(about[b"written_s"]),
            as_of=about[b"id"].decode(),
            memory_bytes=sum(size or 0 for size in sizes),
            whole=None not in sizes,
            expires_s=self._asked(self._redis.ttl, self._log),
        )

    def server(self) -> Server:
        """What kind of Redis it is."""
        told = self._asked(self._redis.info, "everything")
        return Server(
            version=str(told.get("redis_version", "of unknown version")),
            evicts=str(told.get("maxmemory_policy", "noeviction")) != "noeviction",
            appends=bool(told.get("aof_enabled")),
        )

    def hold(self, token: str) -> None:
        """Keep the lock a while longer; raises :class:`LogUnavailable` if it is not ours."""
        if not self._asked(self._hold, [self._lock], [token, LOCK_S]):
            raise LogUnavailable("somebody else writes a snapshot by now; try again")

    def lock(self) -> str | None:
        """The token of who may write a snapshot now, or None if somebody else does."""
        token = secrets.token_hex(16)
        taken = self._asked(self._redis.set, self._lock, token, nx=True, ex=LOCK_S)
        return token if taken else None

    def unlock(self, token: str) -> None:
        """Let somebody else write."""
        self._asked(self._release, [self._lock], [token])

    def commit(
        self,
        token: str,
        as_of: str,
        state: bytes,
        grown_from: str,
        *,
        replaced: str | None = None,
    ) -> bool:
        """Make a snapshot the base, and forget what it holds of the log; False if that came too
        late. ``replaced``: it is not what the log made of its base, but knows what came up to this
        entry of another log; every replica has to load it. Lets go of the lock."""
        fields = self._written(state, grown_from)
        told = sent(Replaced()) if replaced is not None else None
        extra = [told.number, told.payload, position(replaced or "")] if told else ["", "", 0]
        args = [token, self._where.keep_s, as_of, *extra, *fields]
        keys = [self._log, self._base, self._lock]
        answer = self._asked(self._commit, keys, args)
        if answer[0] != b"ok":
            self._dropped(fields[1], int(fields[3]))
            self.unlock(token)
            return False
        self._kept(fields)
        self._dropped(answer[1].decode(), int(answer[2]))
        return True

    def renew(self) -> None:
        """Everything lives on for as long as ever."""
        about = self._asked(self._redis.hmget, self._base, ["chunks", "count"])
        if about[0] is None:
            return
        names = _names(about[0].decode(), int(about[1]))
        for name in (self._log, self._base, *names):
            self._asked(self._redis.expire, name, self._where.keep_s)

    def close(self) -> None:
        """Let go of the connection."""
        self._asked(self._redis.close)

    def _written(self, state: bytes, grown_from: str) -> list[Any]:
        """Write the chunks of a snapshot; the fields of a base that consists of them."""
        chunks = f"{self._chunks}:{secrets.token_hex(8)}"
        pieces = list(_pieces(state))
        for name, piece in zip(_names(chunks, len(pieces)), pieces, strict=True):
            self._asked(self._redis.set, name, piece, ex=UNFINISHED_S)
        digest = hashlib.sha256(state).hexdigest()
        return ["chunks", chunks, "count", len(pieces), "sha256", digest, "bytes", len(state),
                "written_s", int(time.time()), "grown_from", grown_from]  # fmt: skip

    def _kept(self, fields: Sequence[Any]) -> None:
        for name in _names(fields[1], int(fields[3])):
            self._asked(self._redis.expire, name, self._where.keep_s)

    def _dropped(self, chunks: str, count: int) -> None:
        if chunks:
            self._asked(self._redis.unlink, *_names(chunks, count))

    def _asked(self, ask: Callable[..., Any], *args: Any, **options: Any) -> Any:
        try:
            return ask(*args, **options)
        except (RedisError, OSError) as error:
            # The next attempt may well lead to another server of the same name.
            self._redis.connection_pool.disconnect()
            raise LogUnavailable(f"{type(error).__name__}: {error}") from None


def position(entry: str) -> int:
    """How much was done up to an entry of the log, whatever became of the log since."""
    return int(entry.partition("-")[0] or 0)


def _client(where: Where, timeout_s: float) -> Redis:
    return Redis.from_url(
        where.url,
        password=where.password or None,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        single_connection_client=False,
        max_connections=1,
        client_name="ztad",
        protocol=2,
    )


def _names(chunks: str, count: int) -> list[str]:
    return [f"{chunks}:{index}" for index in range(count)]


def _pieces(state: bytes) -> Iterator[memoryview]:
    whole = memoryview(state)
    for at in range(0, len(state), CHUNK_BYTES):
        yield whole[at : at + CHUNK_BYTES]
