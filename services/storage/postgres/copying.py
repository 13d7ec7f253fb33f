"""Everything in a store folder into a PostgreSQL, when a team grows out of the folder.

What is small goes first, and with it the numbers that others count on from there; then verdicts in
the order they were recorded, each step in one transaction with a mark of how far it came: a copy
that was stopped goes on from there. Nothing of the folder is changed but its schema, if it is old.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from services.storage import events
from services.storage.appending import IN_BLOCK
from services.storage.blocks import Blocks
from services.storage.errors import StoreError, told
from services.storage.migrations.places import places
from services.storage.opening import ALERTS_FILE_NAME, VERDICTS_FILE_NAME
from services.storage.packing import pack
from services.storage.postgres import days, errors
from services.storage.postgres.address import shown
from services.storage.postgres.appending import BUNDLE, FRAME, Row, Shadow, keep, keep_shadow
from services.storage.postgres.database import CONNECT_S, SETTINGS, Connection

#: Lines of a table that are on their way at once.
AT_ONCE = 5_000
#: Tables of a folder that are not the same in a PostgreSQL, and Alembic's own.
OTHERWISE = frozenset(
    (
        "verdicts",
        "evidence",
        "events",
        "documents",
        "flagged_events",
        "shadow",
        "frames",
        "bundles",
        "marks",
        "alembic_version",
    )
)

_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
_TYPES = """
    SELECT column_name, data_type FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name = $1
"""
_BEGIN = "INSERT INTO marks VALUES ('copied verdicts', 0), ('copied shadow', 0)"
_END = "DELETE FROM marks WHERE name IN ('copied verdicts', 'copied shadow')"
_SET = "UPDATE marks SET value = $2 WHERE name = $1"

Advance = Callable[[int], None]


class _Ordered(NamedTuple):
    """A table whose lines go by their place; ``query`` takes the last place and how many."""

    table: str
    query: str

    @property
    def mark(self) -> str:
        return f"copied {self.table}"


_VERDICTS = _Ordered(
    "verdicts",
    """SELECT v.place, v.stamp, v.recorded, v.frame, v.severity, v.event_id, v.user_id, v.address,
           v.reason, v.document, e.features, e.baseline, o.event, e.traceparent
       FROM verdicts v LEFT JOIN evidence e USING (place) LEFT JOIN flagged_events o USING (place)
       WHERE v.place > ? ORDER BY v.place LIMIT ?""",
)
_SHADOW = _Ordered(
    "shadow",
    """SELECT place, stamp, recorded, bundle, severity, event_id, reason FROM shadow
       WHERE place > ? ORDER BY place LIMIT ?""",
)


class Copy:
    """From a folder to the PostgreSQL at an address; nobody else may use either meanwhile.

    Every method raises :class:`StoreError`.
    """

    def __init__(self, folder: Path, address: str) -> None:
        self._folder = folder
        self._address = address
        self._files = [
            file for file in (VERDICTS_FILE_NAME, ALERTS_FILE_NAME) if (folder / file).is_file()
        ]
        self._bundles: dict[int, int] = {}
        self._frames: dict[int, int] = {}
        self._bundle_of: dict[int, int] = {}
        self._packed: dict[tuple[bytes, int], int] = {}

    def prepare(self) -> int:
        """Bring both to this ztad's schema; how many lines there are to copy."""
        if VERDICTS_FILE_NAME not in self._files:
            mend = "name the folder of a store with --from"
            raise StoreError(str(self._folder), f"has no {VERDICTS_FILE_NAME}", mend)
        for where in (str(self._folder), self._address):
            for place in places(where).values():
                place.move(place.chain.head)
        return sum(count for _, count in self._counts())

    async def run(self, advance: Advance) -> None:
        """Copy what is not there yet; says how many lines at a time."""
        async with _reached(self._address) as to:
            with self._opened(VERDICTS_FILE_NAME) as verdicts:
                await self._begin(verdicts, to)
            for file in self._files:
                with self._opened(file) as source:
                    for table in alike(source):
                        await _whole_table(source, to, table, advance)
            with self._opened(VERDICTS_FILE_NAME) as verdicts:
                for ordered in (_SHADOW, _VERDICTS):
                    await self._in_order(verdicts, to, ordered, advance)
            await to.execute(_END)

    async def missing(self) -> list[str]:
        """What the PostgreSQL has fewer lines of than the folder."""
        async with _reached(self._address) as to:
            return [
                f"{table}: {there:,} of {count:,}"
                for table, count in self._counts()
                if (there := await to.fetchval(f"SELECT count(*) FROM {table}")) < count
            ]

    def _counts(self) -> Iterator[tuple[str, int]]:
        for file in self._files:
            ordered = ("verdicts", "shadow") if file == VERDICTS_FILE_NAME else ()
            with self._opened(file) as source:
                for table in (*alike(source), *ordered):
                    (count,) = source.execute(f"SELECT count(*) FROM {table}").fetchone()
                    yield table, count

    @contextmanager
    def _opened(self, file: str) -> Iterator[sqlite3.Connection]:
        path = self._folder / file
        name = f"{path.absolute().as_uri()}?mode=rw"
        try:
            with closing(sqlite3.connect(name, isolation_level=None, uri=True)) as source:
                # Nobody else may have the file open.
                source.execute("PRAGMA locking_mode=EXCLUSIVE").close()
                source.execute("BEGIN IMMEDIATE")
                yield source
        except sqlite3.Error as error:
            raise told(error, path) from error

    async def _begin(self, source: sqlite3.Connection, to: Connection) -> None:
        """What all else refers to, and the numbers that go on from where they are."""
        async with to.transaction():
            marks = dict(await to.fetch("SELECT name, value FROM marks"))
            if _VERDICTS.mark not in marks:
                if marks["place"] > 0:
                    mend = "name an empty database: createdb NAME"
                    raise StoreError(shown(self._address), "holds verdicts already", mend)
                await to.execute(_BEGIN)
                mine = "SELECT name, value FROM marks WHERE name IN ('place', 'offered')"
                await to.executemany(_SET, source.execute(mine).fetchall())
            for number, *bundle in source.execute(
                "SELECT bundle, version, manifest, path FROM bundles"
            ):
                self._bundles[number] = await to.fetchval(BUNDLE, *bundle)
            for number, document, of in source.execute(
                "SELECT frame, document, bundle FROM frames"
            ):
                self._bundle_of[number] = bundle = self._bundles[of]
                self._frames[number] = await to.fetchval(FRAME, document, bundle)

    async def _in_order(
        self, source: sqlite3.Connection, to: Connection, ordered: _Ordered, advance: Advance
    ) -> None:
        place = await to.fetchval("SELECT value FROM marks WHERE name = $1", ordered.mark)
        there = f"SELECT count(*) FROM {ordered.table} WHERE place <= ?"
        advance(source.execute(there, (place,)).fetchone()[0])
        while rows := source.execute(ordered.query, (place, AT_ONCE)).fetchall():
            place = rows[-1][0]
            async with to.transaction():
                if ordered is _SHADOW:
                    await keep_shadow(to, [self._shadow(row) for row in rows])
                else:
                    await self._verdicts(to, await self._unblocked(source, to, rows))
                await to.execute(_SET, ordered.mark, place)
            advance(len(rows))

    async def _verdicts(self, to: Connection, rows: list[Row]) -> None:
        for _, group in groupby(rows, key=lambda row: days.day_of(row.recorded)):
            of_day = list(group)
            await keep(to, of_day, of_day[0].recorded)

    async def _unblocked(
        self, source: sqlite3.Connection, to: Connection, lines: list[tuple[Any, ...]]
    ) -> list[Row]:
        """Verdicts as a PostgreSQL keeps them, with what is in blocks of the folder."""
        rows = [Row._make(line) for line in lines]
        came = events.those(source, [(row.place, row.event) for row in rows])
        documents = Blocks(source, "documents")
        found = []
        for row, event in zip(rows, came, strict=True):
            frame, document = self._frames[row.frame], row.document
            if document == IN_BLOCK and (verdict := documents.get(row.place)) is not None:
                packed = pack(row.event_id, verdict)
                frame = await self._frame(to, packed.frame, self._bundle_of[row.frame])
                document = packed.document
            found.append(row._replace(frame=frame, document=document, event=event))
        return found

    async def _frame(self, to: Connection, document: bytes, bundle: int) -> int:
        if (document, bundle) not in self._packed:
            self._packed[document, bundle] = await to.fetchval(FRAME, document, bundle)
        return self._packed[document, bundle]

    def _shadow(self, row: tuple[Any, ...]) -> Shadow:
        return Shadow._make((*row[:3], self._bundles[row[3]], *row[4:]))


@asynccontextmanager
async def _reached(address: str) -> AsyncIterator[Connection]:
    try:
        connection = await asyncpg.connect(address, timeout=CONNECT_S, server_settings=SETTINGS)
        try:
            yield connection
        finally:
            await connection.close(timeout=CONNECT_S)
    except errors.ERRORS as error:
        raise errors.told(error, shown(address)) from error


def alike(source: sqlite3.Connection) -> list[str]:
    """Tables with the same name and columns in a PostgreSQL."""
    return [name for (name,) in source.execute(_TABLES).fetchall() if name not in OTHERWISE]


async def _whole_table(
    source: sqlite3.Connection, to: Connection, table: str, advance: Advance
) -> None:
    """Every line; those that are there stay."""
    types = dict(await to.fetch(_TYPES, table))
    # One that is not read to its end would keep the file locked.
    with closing(source.execute(f"SELECT * FROM {table}")) as rows:
        names = [name for name, *_ in rows.description]
        marks = ", ".join(f"${number}" for number, _ in enumerate(names, 1))
        insert = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks}) ON CONFLICT DO NOTHING"
        while some := rows.fetchmany(AT_ONCE):
            fitted = [tuple(map(_fitted, (types[name] for name in names), row)) for row in some]
            await to.executemany(insert, fitted)
            advance(len(some))


def _fitted(type_: str, value: Any) -> Any:
    """A value of SQLite as a column of PostgreSQL takes it."""
    if type_ == "bytea" and isinstance(value, str):
        return value.encode()
    if type_ == "json" and isinstance(value, bytes):
        return value.decode()
    return bool(value) if type_ == "boolean" else value
