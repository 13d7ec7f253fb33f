"""What an event costs by where the history is: in memory, in a folder, in Redis."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from ensemble.scorer import load_bundle
from models.bundle import Bundle
from preprocessing.history import UserHistory
from services.bench.places import servers
from services.bench.stages import Staged, run_stages
from services.history import open_history

Place = Literal["memory", "folder", "Redis"]
PLACES: tuple[Place, ...] = ("memory", "folder", "Redis")
#: Events before the measured ones.
WARM_UP = 40_000

Say = Callable[[str], None]


class Placed(msgspec.Struct, frozen=True):
    """One place of the history, and what an event costs with it there."""

    place: Place
    staged: Staged


def run_histories(bundle: Path, events: Path, count: int, home: Path, say: Say) -> list[Placed]:
    """Every place, one after the other. Raises ``services.bench.subject.BenchError``."""
    found = []
    with servers(["redis"], say) as running:
        for place in PLACES:
            say(f"scoring in one process, history: {place}")
            with _opened(place, load_bundle(bundle), home, running["redis"].address) as history:
                found.append(Placed(place, run_stages(bundle, events, count, WARM_UP, history)))
    return found


@contextmanager
def _opened(place: Place, bundle: Bundle, home: Path, redis: str) -> Iterator[UserHistory]:
    """An empty place; what was kept there is gone afterwards, Redis forgets it by itself."""
    folder = home / f"history-{secrets.token_hex(4)}"
    where = folder if place == "folder" else None
    address = f"{redis}?name=bench-{secrets.token_hex(4)}" if place == "Redis" else None
    try:
        with closing(cast(Any, open_history(bundle, where, address))) as history:
            yield history
    finally:
        shutil.rmtree(folder, ignore_errors=True)
