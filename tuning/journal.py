"""Trials of a search on disk: what is left of it when it is killed, and what it amounts to."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tuning.objective import EFFORTS, Metrics

#: Stage of the trial that has the default parameters.
DEFAULT = "default"
_TRIALS = "trials.ndjson"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One choice and what came of it. ``reports`` are its metrics at growing effort; a trial that
    was stopped early has fewer. ``elapsed_s`` is how long the whole search had run by then."""

    number: int
    trial_id: str
    stage: str
    choice: dict[str, Any]
    reports: tuple[Metrics, ...]
    elapsed_s: float
    problem: str = ""

    @property
    def metrics(self) -> Metrics:
        """The last report; empty when there is none."""
        return self.reports[-1] if self.reports else {}

    @property
    def objective(self) -> float:
        return self.metrics.get("objective", 0.0)

    @property
    def complete(self) -> bool:
        """Whether the detectors were fitted with all of their effort."""
        return self.metrics.get("effort", 0.0) >= EFFORTS[-1]


class Journal:
    """Trials of one search in its folder, in the order in which they ended.

    A line is written for each, and synced; half a line, of a process that was killed, is cut off
    by the next. One process writes; others may read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / _TRIALS
        self.trials, self._size = _read(self._path)

    @property
    def elapsed_s(self) -> float:
        """How long the search has run, all its processes together."""
        return self.trials[-1].elapsed_s if self.trials else 0.0

    def add(
        self,
        trial_id: str,
        stage: str,
        choice: Mapping[str, Any],
        reports: Sequence[Metrics],
        *,
        elapsed_s: float,
        problem: str = "",
    ) -> Trial | None:
        """Keep a trial that ended; None for one that is known already."""
        if any(trial.trial_id == trial_id for trial in self.trials):
            return None
        trial = Trial(
            number=len(self.trials),
            trial_id=trial_id,
            stage=stage,
            choice=dict(choice),
            reports=tuple(reports),
            elapsed_s=round(elapsed_s, 3),
            problem=problem,
        )
        line = msgspec.json.encode(trial) + b"\n"
        with self._path.open("ab") as file:
            file.truncate(self._size)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._size += len(line)
        self.trials.append(trial)
        return trial

    def of(self, stage: str) -> list[Trial]:
        return [trial for trial in self.trials if trial.stage == stage]

    def finish(self, stage: str) -> None:
        """Remember that a stage needs no more trials."""
        self._finished(stage).touch()

    def finished(self, stage: str) -> bool:
        return self._finished(stage).exists()

    def _finished(self, stage: str) -> Path:
        return self.folder / f"{stage}.finished"


def best(trials: Iterable[Trial]) -> Trial | None:
    """The complete trial of the highest objective; of equal ones the earliest."""
    complete = [trial for trial in trials if trial.complete]
    return max(complete, key=lambda trial: (trial.objective, -trial.number), default=None)


def _read(path: Path) -> tuple[list[Trial], int]:
    """The trials of whole lines, and how many bytes these are."""
    data = path.read_bytes() if path.exists() else b""
    whole = data[: data.rfind(b"\n") + 1]
    return [msgspec.json.decode(line, type=Trial) for line in whole.splitlines()], len(whole)
