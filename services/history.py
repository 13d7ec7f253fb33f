"""Which history a Preprocessor runs on."""

from __future__ import annotations

from pathlib import Path

from ensemble.scorer import HISTORY_FILE, history_of
from models.bundle import Bundle
from preprocessing.history import UserHistory
from preprocessing.journal import JournaledHistory
from services.settings import load
from services.shared_history.address import where_of


def open_history(bundle: Bundle, state_dir: Path | None, address: str | None = None) -> UserHistory:
    """The live history: shared in the Redis at ``address``, or kept in ``state_dir``, or in memory
    only. What is not there yet is begun from the bundle's.

    What already holds a history goes on with it, whichever bundle is served: what was seen does
    not change with the model. Raises ``preprocessing.history.HistoryError``.
    """
    if address is not None:
        # Every replica imports this module, and few use Redis, whose client takes 0.4 s to import.
        from services.shared_history.history import SharedHistory

        where = where_of(address, load().redis_password)
        return SharedHistory(where, base=bundle.read(HISTORY_FILE))
    if state_dir is None:
        return history_of(bundle)
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    return JournaledHistory(state_dir, base=bundle.read(HISTORY_FILE))
