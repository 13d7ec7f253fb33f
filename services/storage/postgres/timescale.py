"""TimescaleDB, where the extension is there: what it does instead of plain partitions.

Written by its documentation (docs.timescale.com/api) and not run: the extension could not be had.
"""

from __future__ import annotations

from typing import Literal

from services.storage.postgres.database import Connection
from services.storage.postgres.days import TABLES

#: Under the Apache licence there are hypertables alone, without compression or continuous
#: aggregates (docs.timescale.com/about/latest/timescaledb-editions).
Edition = Literal["apache", "timescale"]

_EDITION = """
    SELECT current_setting('timescaledb.license', true) FROM pg_extension
    WHERE extname = 'timescaledb'
"""
# A partitioned table cannot become a hypertable, so an ordinary one takes its place.
_HYPERTABLE = (
    "CREATE TABLE {0}_as_chunks (LIKE {0} INCLUDING ALL)",
    "DROP TABLE {0} CASCADE",
    "ALTER TABLE {0}_as_chunks RENAME TO {0}",
    """SELECT create_hypertable('{0}', 'day', chunk_time_interval => interval '1 day',
           create_default_indexes => false)""",
)
_BY_HOUR = """
    CREATE {} AS
        SELECT {} AS day, floor(stamp / 3600) * 3600 AS hour, severity, reason, count(*) AS events
        FROM verdicts GROUP BY 1, 2, 3, 4
"""
BY_HOUR = _BY_HOUR.format("VIEW verdicts_by_hour", "day")
_COMPRESSED = (
    """ALTER TABLE verdicts SET (timescaledb.compress, timescaledb.compress_segmentby = 'user_id',
           timescaledb.compress_orderby = 'stamp DESC, place DESC')""",
    """ALTER TABLE events SET (timescaledb.compress,
           timescaledb.compress_orderby = 'first_stamp DESC')""",
    "SELECT add_compression_policy('verdicts', compress_after => interval '7 days')",
    "SELECT add_compression_policy('events', compress_after => interval '7 days')",
)
_CONTINUOUS = (
    _BY_HOUR.format(
        "MATERIALIZED VIEW verdicts_by_hour WITH (timescaledb.continuous)",
        "time_bucket(interval '1 day', day)",
    )
    + " WITH NO DATA",
    """SELECT add_continuous_aggregate_policy('verdicts_by_hour', start_offset => NULL,
           end_offset => interval '1 day', schedule_interval => interval '1 hour')""",
)


async def edition(connection: Connection) -> Edition | None:
    """Which TimescaleDB the database has, if any."""
    found = await connection.fetchval(_EDITION)
    if found is None:
        return None
    return "timescale" if found == "timescale" else "apache"


def instead(of: Edition | None) -> list[str]:
    """What turns fresh, empty tables into those of an edition; nothing without the extension."""
    if of is None:
        return []
    made = [each.format(table) for table in TABLES for each in _HYPERTABLE]
    return [*made, BY_HOUR] if of == "apache" else [*made, *_COMPRESSED, *_CONTINUOUS]


async def adopt(connection: Connection) -> None:
    """Turn fresh, empty tables into those of the extension, if it is there."""
    for statement in instead(await edition(connection)):
        await connection.execute(statement)
