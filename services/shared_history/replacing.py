"""Another history for all replicas, while they go on."""

from __future__ import annotations

import hashlib
from types import TracebackType

from services.shared_history.address import Where
from services.shared_history.redis_log import LogUnavailable, RedisLog


class Replacing:
    """From entering to leaving nobody else writes a snapshot, so that the log still has everything
    that was done since ``as_of``: the replicas do it again, on top of the other history.

    Use as a context manager. Every method raises :class:`LogUnavailable`, entering also when
    somebody is writing a snapshot right now.
    """

    def __init__(self, where: Where) -> None:
        self._log = RedisLog(where, hasty=False)
        self._token = ""
        self.as_of: str | None = None
        """The oldest entry of the log, None if there is no log."""

    def __enter__(self) -> Replacing:
        token = self._log.lock()
        if token is None:
            self._log.close()
            raise LogUnavailable("a snapshot is being written; try again in two minutes")
        self._token = token
        status = self._log.status()
        self.as_of = status.as_of if status else None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._log.unlock(self._token)
        finally:
            self._log.close()

    def hold(self) -> None:
        """Say at least every two minutes that it is still going on."""
        self._log.hold(self._token)

    def finish(self, state: bytes, *, as_of: str | None) -> None:
        """A snapshot, and what was done after the entry ``as_of``, is the history of all."""
        grown_from = hashlib.sha256(state).hexdigest()
        if as_of is None:
            done = self._log.begin(state, grown_from) is not None
        else:
            done = self._log.commit(self._token, as_of, state, grown_from, replaced="")
        if not done:
            raise LogUnavailable("the log is another one meanwhile; try again")
