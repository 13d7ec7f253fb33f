"""What a stage keeps of every model version it works with."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from ensemble.scorer import load_bundle
from models.bundle import Bundle
from models.manifest import BundleError

LOG = logging.getLogger("ztad.versions")

T = TypeVar("T")

#: Champion, challenger and shadow, and the one just replaced: going back is then immediate.
MOST_VERSIONS = 4
#: Pause before a version is tried again for which nobody waits, seconds.
RETRY_S = 5.0


class OtherVersion(BundleError):
    """The folder holds another version than it was asked for."""

    def __init__(self, path: str, expected: str, found: str) -> None:
        super().__init__(path, f"holds version {found}, expected {expected}: fetch it again")


class Versions(Generic[T]):
    """``make(bundle)`` of the versions last asked for, each loaded and verified once.

    Loading runs in a thread: calls for versions that are there go on meanwhile.
    """

    def __init__(self, make: Callable[[Bundle], T], *, most: int = MOST_VERSIONS) -> None:
        self._make = make
        self._most = most
        self._kept: OrderedDict[str, T] = OrderedDict()
        self._loading: dict[str, asyncio.Task[T]] = {}
        self._behind: dict[str, asyncio.Task[None]] = {}

    def add(self, bundle: Bundle) -> T:
        """Make and keep a bundle's; the longest unused gives way."""
        return self._keep(bundle.version, self._make(bundle))

    async def get(self, version: str, path: str) -> T:
        """What was made of a version; raises ``BundleError`` when it cannot be trusted."""
        kept = self._kept.get(version)
        if kept is not None:
            self._kept.move_to_end(version)
            return kept
        task = self._loading.get(version)
        if task is None:
            task = self._loading[version] = asyncio.ensure_future(self._load(version, path))
            task.add_done_callback(lambda done: self._loading.pop(version, None))
        return await asyncio.shield(task)

    def at_hand(self, version: str, path: str) -> T | None:
        """What was made of a version if that is there already; else it is loaded behind the
        scenes, again and again if need be."""
        kept = self._kept.get(version)
        if kept is not None:
            self._kept.move_to_end(version)
        elif version not in self._behind:
            task = self._behind[version] = asyncio.ensure_future(self._load_behind(version, path))
            task.add_done_callback(lambda done: self._behind.pop(version, None))
        return kept

    async def _load_behind(self, version: str, path: str) -> None:
        try:
            await self.get(version, path)
        except BundleError as error:
            LOG.warning("version %s is not there: %s", version, error)
            await asyncio.sleep(RETRY_S)

    async def _load(self, version: str, path: str) -> T:
        bundle = await asyncio.to_thread(load_version, version, path)
        return self._keep(version, await asyncio.to_thread(self._make, bundle))

    def _keep(self, version: str, made: T) -> T:
        self._kept[version] = made
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return made


def load_version(version: str, path: str) -> Bundle:
    """The verified bundle in a folder; raises ``BundleError``, also when it is another version."""
    bundle = load_bundle(Path(path))
    if bundle.version != version:
        raise OtherVersion(path, version, bundle.version)
    return bundle
