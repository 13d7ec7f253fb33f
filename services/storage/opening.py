"""Which store a setting means: a folder of files, a PostgreSQL, or memory."""

from __future__ import annotations

from pathlib import Path

from services.storage.alert_log import SqlAlertLog
from services.storage.base import Limits, Store
from services.storage.migrations.chain import ALERTS
from services.storage.postgres.address import is_postgres
from services.storage.talks import SqliteTables, Tables
from services.storage.verdicts import SqliteStore

VERDICTS_FILE_NAME = "verdicts.db"
ALERTS_FILE_NAME = "alerts.db"


def open_store(where: str | None, limits: Limits, *, durable: bool = False) -> Store:
    """The verdict store in a folder, or in the PostgreSQL at ``postgresql://...``, or in memory.

    A file is opened at once; raises :class:`services.storage.errors.StoreError`. A PostgreSQL is
    spoken to when it is first asked something, and need not be there before.

    What is ``durable`` survives a loss of power once it is committed: of a PostgreSQL its own
    setting ``synchronous_commit`` decides that.
    """
    if where is None:
        return SqliteStore(None, limits)
    if not is_postgres(where):
        return SqliteStore(Path(where) / VERDICTS_FILE_NAME, limits, durable=durable)
    from services.storage.postgres.store import PostgresStore

    return PostgresStore(where, limits)


def open_alert_log(where: str | None) -> SqlAlertLog:
    """The alert log in the same place; opened, and raises, as :func:`open_store`."""
    return SqlAlertLog(open_alert_tables(where))


def open_alert_tables(where: str | None) -> Tables:
    """The tables of the alert log alone."""
    if where is None:
        return SqliteTables(None, ALERTS)
    if not is_postgres(where):
        return SqliteTables(Path(where) / ALERTS_FILE_NAME, ALERTS)
    from services.storage.postgres.alert_log import PostgresTables

    return PostgresTables(where)
