"""Which history a Preprocessor runs on."""

from __future__ import annotations

from pathlib import Path

from ensemble.scorer import history_of
from models.bundle import Bundle
from preprocessing.history import UserHistory


def open_history(bundle: Bundle, state_dir: Path | None) -> UserHistory:
    """The bundle's history: continued from ``state_dir``, or in memory only without one."""
    return history_of(bundle)
