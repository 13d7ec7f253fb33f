"""Which history a Preprocessor runs on."""

from __future__ import annotations

from pathlib import Path

from ensemble.scorer import HISTORY_FILE, history_of
from models.bundle import Bundle
from preprocessing.history import UserHistory
from preprocessing.journal import JournaledHistory


def open_history(bundle: Bundle, state_dir: Path | None) -> UserHistory:
    """The live history kept in ``state_dir``, begun from the bundle's; in memory only without one.

    A directory that already holds a history goes on with it, whichever bundle is served: what was
    seen does not change with the model. Raises ``preprocessing.history.HistoryError``.
    """
    if state_dir is None:
        return history_of(bundle)
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    return JournaledHistory(state_dir, base=bundle.read(HISTORY_FILE))
