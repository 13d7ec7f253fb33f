"""``OpenedStore``: the store that was asked for, for as long as it can be used, and again later."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from services.recorder_metrics import RecorderMetrics
from services.storage.base import Limits, Store
from services.storage.errors import StoreError, TooLong
from services.storage.opening import open_store
from services.storage.postgres.address import checked

LOG = logging.getLogger("ztad.recorder")

T = TypeVar("T")

#: What is kept in memory when there is no file.
MEMORY_BYTES = 256 << 20
MEMORY_VERDICTS = 100_000
#: Pause between attempts to open a store that broke for good, seconds.
OPEN_PAUSE_S = 5.0


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
    """The store of the arguments; told once in the log when it is in trouble.

    Where verdicts wait elsewhere (``patient``), a store that breaks for good or cannot be opened
    at start is opened again once somebody has mended it; else a store in memory takes its place.
    One event loop.
    """

    def __init__(self, args: RecorderArgs, metrics: RecorderMetrics, *, patient: bool) -> None:
        self._args = args
        self._metrics = metrics
        self._patient = patient
        self._opening = asyncio.Lock()
        self._open_s = 0.0
        self._problem = ""
        self._gone: StoreError | None = None
        self.store: Store | None = None
        try:
            self.store = self._opened()
        except StoreError as error:
            self._broke(error)

    async def ask(self, ask: Callable[[Store], Awaitable[T]]) -> T:
        """What the store answers; raises :class:`StoreError`."""
        store = self.store or await self._again()
        try:
            return await ask(store)
        except TooLong:  # the store is well
            raise
        except StoreError as error:
            self._metrics.failures.inc()
            self._tell(error)
            if error.lasting and store is self.store:
                self._broke(error)
                asyncio.get_running_loop().run_in_executor(None, store.close)
            raise

    def well(self) -> None:
        """Verdicts were written: trouble from now on is news."""
        self._problem = ""

    def close(self) -> None:
        """Nothing may be asked after it."""
        if self.store is not None:
            self.store.close()

    def _broke(self, error: StoreError) -> None:
        self._metrics.degraded.set(1)
        self._tell(error)
        self.store, self._gone = None, error
        if not self._patient:
            LOG.error("verdicts are kept in memory from now on, and few of them")
            self.store = open_store(None, _limits(self._args, None))

    def _tell(self, error: StoreError) -> None:
        if str(error) != self._problem:
            self._problem = str(error)
            LOG.error("%s. Verdicts wait meanwhile", error)

    def _opened(self) -> Store:
        where = self._args.database or self._args.store_dir
        return open_store(where, _limits(self._args, where), durable=self._args.durable)

    async def _again(self) -> Store:
        """The store that broke, once it was mended."""
        async with self._opening:
            if self.store is None:
                if self._gone is not None and time.monotonic() < self._open_s:
                    raise self._gone
                self._open_s = time.monotonic() + OPEN_PAUSE_S
                try:
                    self.store = await asyncio.to_thread(self._opened)
                except StoreError as error:
                    self._gone = error
                    raise
                self._metrics.degraded.set(0)
                LOG.warning("the store is open again")
            return self.store


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
