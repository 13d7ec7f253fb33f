"""Migrations of a SQLite file, on the connection of whoever opens it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator

from services.storage.migrations.chain import BASE, Chain

LOG = logging.getLogger("ztad.storage")

_STAMPED = "SELECT 1 FROM sqlite_master WHERE name = ?"


def current(connection: sqlite3.Connection) -> str:
    """The revision a file is at, by its ``user_version``. That is what every ztad has looked at,
    also before there was Alembic: one that is older refuses a file newer than itself."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return f"{version:04}" if version else BASE


def upgrade(connection: sqlite3.Connection, chain: Chain, where: str) -> None:
    """Bring a file to the newest revision; one that is there is only read.

    Raises :class:`services.storage.errors.NewerSchema`, and ``sqlite3.Error`` with the file as it
    was.
    """
    if chain.check(current(connection), where) != chain.head or not _stamped(connection, chain):
        move(connection, chain, chain.head, where)


def move(connection: sqlite3.Connection, chain: Chain, to: str, where: str) -> str:
    """Bring a file to a revision, up or down, in one transaction that keeps other writers out.

    Returns where it was. Raises as :func:`upgrade`.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        begin = chain.check(current(connection), where)
        if begin != BASE:
            _stamp(connection, chain, begin)
        for statement in _statements(chain.script(begin, to)):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={0 if to == BASE else int(to)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself rolls back when the disk is full
            connection.execute("ROLLBACK")
        raise
    if begin != BASE:
        LOG.info("%s: schema %s -> %s", where, begin, to)
    return begin


def _stamped(connection: sqlite3.Connection, chain: Chain) -> bool:
    return connection.execute(_STAMPED, (chain.table,)).fetchone() is not None


def _stamp(connection: sqlite3.Connection, chain: Chain, revision: str) -> None:
    """As Alembic does it with the first revision; a ztad from before Alembic does not."""
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {chain.table} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
    )
    connection.execute(f"DELETE FROM {chain.table}")
    connection.execute(f"INSERT INTO {chain.table} VALUES (?)", (revision,))


def _statements(script: str) -> Iterator[str]:
    """One at a time: ``executescript`` would end the transaction first."""
    begun = ""
    for line in script.splitlines(keepends=True):
        begun += line
        if sqlite3.complete_statement(begun):
            yield begun
            begun = ""
