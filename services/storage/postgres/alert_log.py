"""``PostgresAlertLog``: the alert log in a PostgreSQL; follows ``alerting.log.FullLog``."""

from __future__ import annotations

import re
from functools import cache
from itertools import count
from typing import Any, TypeVar

from services.storage.alert_log import SqlAlertLog
from services.storage.migrations import on_postgres
from services.storage.migrations.chain import POSTGRES_ALERTS
from services.storage.postgres.database import Connection, Database
from services.storage.talks import Row, Talk

T = TypeVar("T")


class PostgresAlertLog(SqlAlertLog):
    """At ``postgresql://...``, which is spoken to when it is first asked something."""

    def __init__(self, address: str) -> None:
        super().__init__(PostgresTables(address))


class PostgresTables:
    """Follows ``talks.Tables``; connects again by itself."""

    def __init__(self, address: str) -> None:
        self._database = Database(address, self._greet)

    async def write(self, talk: Talk[T]) -> T:
        return await self._database.write(lambda connection: _driven(connection, talk))

    async def read(self, talk: Talk[T]) -> T:
        return await self._database.read(lambda connection: _driven(connection, talk))

    def close(self) -> None:
        self._database.close()

    async def _greet(self, connection: Connection) -> None:
        await on_postgres.upgrade(connection, POSTGRES_ALERTS, self._database.where)


async def _driven(connection: Connection, talk: Talk[T]) -> T:
    try:
        sql, values = next(talk)
        while True:
            sql, values = talk.send(await _answered(connection, sql, values))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


async def _answered(connection: Connection, sql: str, values: Row | list[Row]) -> list[Row]:
    if isinstance(values, list):
        await connection.executemany(_spelled(sql), [tuple(map(_plain, row)) for row in values])
        return []
    return [tuple(row) for row in await connection.fetch(_spelled(sql), *map(_plain, values))]


def _plain(value: Any) -> Any:
    """Bytes are JSON here. What is kept has no U+0000 outside of JSON, which spells it; what is
    asked for can have one, and is then nowhere to be found."""
    if isinstance(value, bytes):
        return value.decode()
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


@cache
def _spelled(sql: str) -> str:
    """As PostgreSQL says it.

    >>> _spelled("SELECT 1 FROM json_each(?) WHERE at_s < ?")
    'SELECT 1 FROM json_array_elements_text($1::json) WHERE at_s < $2'
    """
    number = count(1)
    numbered = re.sub(r"\?", lambda _: f"${next(number)}", sql)
    return re.sub(r"json_each\((\$\d+)\)", r"json_array_elements_text(\1::json)", numbered)
