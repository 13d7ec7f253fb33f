"""The store and the alert log that were asked for, as long as they can be used, and again later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from services.recorder_metrics import RecorderMetrics
from services.storage.alert_log import SqlAlertLog
from services.storage.base import Limits, Store
from services.storage.errors import StoreError, TooLong
from services.storage.opening import open_alert_tables, open_store
from services.storage.postgres.address import checked
from services.storage.reopening import Reopening
from services.storage.talks import Tables, Talk

T = TypeVar("T")

#: What is kept in memory when there is no file.
MEMORY_BYTES = 256 << 20
MEMORY_VERDICTS = 100_000


class RecorderArgs(BaseModel):
    """What the Recorder keeps, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    store_dir: str | None = None
    """Folder of the store's files; without it everything is in memory and little of it is kept."""
    database: str | None = None
    """``postgresql://user@host:port/name``, where verdicts and alerts are kept instead of in
    files; the password is in ``PGPASSWORD`` or the file ``PGPASSFILE`` names."""
    most_bytes: int = Field(default=10_000_000_000, ge=64 << 20)
    """Most that verdicts may take on the disk."""
    most_days: float = Field(default=30.0, gt=0)
    """How long ordinary verdicts are kept."""
    most_event_days: float = Field(default=30.0, gt=0)
    """How long the events of ordinary verdicts are kept as they came, as long as the verdict at
    most."""
    most_alert_days: float = Field(default=365.0, gt=0)
    """How long verdicts over the threshold are kept, with event, features and baseline."""
    most_feedback_days: float = Field(default=1095.0, gt=0)
    """How long it is kept what analysts said of events."""
    most_audit_days: float = Field(default=365.0, gt=0)
    """How long audit lines are kept."""
    most_verdicts: int | None = Field(default=None, ge=1)
    """Most verdicts kept beside those over the threshold; without it as many as there is space."""
    most_spool_bytes: int = Field(default=2 << 30, ge=1 << 20)
    """Most that verdicts may take on the disk of ``store_dir`` while the store is away."""
    durable: bool = False
    """Whether verdicts are forced to the disk before they are confirmed, so that they survive a
    loss of power; ``ack: durable`` of the graph implies it."""
    alert_rules: str | None = None
    """YAML file of the alert rules, which may be changed at any time."""

    @field_validator("database")
    @classmethod
    def _without_secrets(cls, address: str | None) -> str | None:
        return None if address is None else checked(address)


class OpenedStore:
    """The store of the arguments, see :class:`Reopening`.

    Where verdicts wait elsewhere (``patient``) it is waited for, else a store in memory takes its
    place. One event loop.
    """

    def __init__(self, args: RecorderArgs, metrics: RecorderMetrics, *, patient: bool) -> None:
        where = args.database or args.store_dir
        self._metrics = metrics
        self._reopening: Reopening[Store] = Reopening(
            lambda: open_store(where, _limits(args, where), durable=args.durable),
            "Verdicts wait meanwhile" if patient else "Few verdicts are kept, in memory",
            None if patient else lambda: open_store(None, _limits(args, None)),
        )

    @property
    def store(self) -> Store | None:
        """What is in use now."""
        return self._reopening.now

    @property
    def broken(self) -> bool:
        """Whether it is not what the arguments ask for."""
        return self._reopening.gone is not None

    async def ask(self, ask: Callable[[Store], Awaitable[T]]) -> T:
        """What the store answers; raises :class:`StoreError`."""

        async def counted(store: Store) -> T:
            try:
                return await ask(store)
            except TooLong:  # the store is well
                raise
            except StoreError:
                self._metrics.failures.inc()
                raise

        return await self._reopening.ask(counted)

    def well(self) -> None:
        """Verdicts were written: trouble from now on is news."""
        self._reopening.well()

    def close(self) -> None:
        """Nothing may be asked after it."""
        self._reopening.close()


class OpenedAlertLog(SqlAlertLog):
    """The alert log of the arguments; what is to become alerts waits until it can be used."""

    def __init__(self, args: RecorderArgs) -> None:
        where = args.database or args.store_dir
        self._reopening = Reopening(lambda: open_alert_tables(where), "Alerts wait meanwhile")
        super().__init__(ReopenedTables(self._reopening))

    @property
    def broken(self) -> bool:
        """Whether it cannot be used now."""
        return self._reopening.gone is not None


class ReopenedTables:
    """Follows ``talks.Tables``."""

    def __init__(self, reopening: Reopening[Tables]) -> None:
        self._reopening = reopening

    async def write(self, talk: Talk[T]) -> T:
        written = await self._reopening.ask(lambda tables: tables.write(talk))
        self._reopening.well()
        return written

    async def read(self, talk: Talk[T]) -> T:
        return await self._reopening.ask(lambda tables: tables.read(talk))

    def close(self) -> None:
        self._reopening.close()


def _limits(args: RecorderArgs, where: str | None) -> Limits:
    limits = Limits(
        args.most_bytes,
        args.most_days,
        args.most_alert_days,
        args.most_verdicts,
        most_event_days=args.most_event_days,
        most_feedback_days=args.most_feedback_days,
        most_audit_days=args.most_audit_days,
    )
    if where is not None:
        return limits
    most = args.most_verdicts or MEMORY_VERDICTS
    most_bytes = min(args.most_bytes, MEMORY_BYTES)
    return replace(
        limits, most_bytes=most_bytes, most_verdicts=most, least_verdicts=most, most_shadow=most
    )
