"""``RoutingBook``: the routing in force; changed on request, kept on record, and followed there.

A change takes effect only when every replica of every stage has the versions it names, and once it
is on record. Until then, and for batches already under way, the routing before it goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from models.bundle import Bundle
from models.manifest import BundleError
from services.pipeline import Pipeline
from services.recording import Call, called
from services.routing import Live, Routing, RoutingError, decode, encode, only, parse
from services.versions import load_version

LOG = logging.getLogger("ztad.routing")

#: How often a gateway looks whether another one changed the routing, seconds.
FOLLOW_S = 1.0
#: The Recorder has this long to answer, a stage to load a version, seconds.
RECORDER_DEADLINE_S = 5.0
LOAD_DEADLINE_S = 30.0

Load = Callable[[str, str], Awaitable[None]]
"""Has every replica of one stage load a version from a path; raises when one of them cannot."""


class VersionNotServed(LookupError):
    """A version of which there is no folder here."""

    def __init__(self, version: str, folder: Path | None) -> None:
        where = f"no folder {folder / version}" if folder else "no folder of models is configured"
        super().__init__(
            f"version {version} is not here ({where}): fetch it with 'ztad models promote'"
        )


class RoutingBook:
    """Owns a pipeline's routing. ``detectors`` are those that have a deployment.

    Not thread-safe; one per event loop. Run ``follow`` in the background.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        models_dir: Path | None,
        detectors: Sequence[str],
        loads: Sequence[Load],
        keep: Call,
        kept: Call,
    ) -> None:
        self._pipeline = pipeline
        self._started_with = pipeline.routing.champion
        self._models_dir = models_dir
        self._detectors = frozenset(detectors)
        self._loads = loads
        self._keep = keep
        self._kept = kept
        self._changing = asyncio.Lock()
        self.bundles: dict[str, Bundle] = {}

    @property
    def routing(self) -> Routing:
        """The routing in force."""
        return self._pipeline.routing

    def find(self, version: str) -> Path:
        """The folder of a version; raises :class:`VersionNotServed`.

        One that was fetched never changes; the one the graph was started with may hold a newer
        champion by now.
        """
        folder = self.fetched(version)
        if folder is not None:
            return folder
        for live in (*self.routing.everyone, self._started_with):
            if live.version == version:
                return Path(live.path)
        raise VersionNotServed(version, self._models_dir)

    def fetched(self, version: str) -> Path | None:
        """The folder of a version among those that were fetched."""
        folder = None if self._models_dir is None else self._models_dir / version
        return folder if folder is not None and folder.is_dir() else None

    async def change(self, document: bytes, *, by: str) -> Routing:
        """Put what a document asks for in force.

        Raises :class:`services.routing.RoutingError`, and what the stages and the Recorder raise
        when they cannot be reached; the routing is then what it was.
        """
        async with self._changing:
            now = datetime.now(UTC)
            wanted = parse(document, self.routing, self.find, by=by, now=now)
            await self._ready(wanted)
            revision: int = await called(
                self._keep, encode(wanted), by, "changed", within_s=RECORDER_DEADLINE_S
            )
            self._adopt(msgspec.structs.replace(wanted, revision=revision))
            return self.routing

    async def follow(self) -> None:
        """Take over what is on record, now and whenever another gateway changes it."""
        while True:
            try:
                async with self._changing:
                    await self._catch_up()
                self._pipeline.settled.set()
            except Exception:  # scoring goes on with the routing in force
                LOG.warning("the routing on record cannot be used", exc_info=True)
            await asyncio.sleep(FOLLOW_S)

    async def _catch_up(self) -> None:
        kept: tuple[int, bytes] | None = await called(self._kept, within_s=RECORDER_DEADLINE_S)
        if kept is None:
            return
        revision, document = kept
        if revision <= self.routing.revision:
            return
        routing = msgspec.structs.replace(decode(document), revision=revision)
        if self._started_with.version not in (routing.base, routing.champion.version):
            # Started with another model than when this was decided: that is the newer decision.
            fresh = only(self._started_with.version, self._started_with.path)
            note = "started with another model"
            at = await called(self._keep, encode(fresh), "ztad serve", note,
                              within_s=RECORDER_DEADLINE_S)  # fmt: skip
            self._adopt(msgspec.structs.replace(fresh, revision=at))
            return
        await self._ready(routing)
        self._adopt(routing)

    def _adopt(self, routing: Routing) -> None:
        self._pipeline.routing = routing
        versions = {live.version for live in routing.everyone}
        self.bundles = {key: value for key, value in self.bundles.items() if key in versions}

    async def _ready(self, routing: Routing) -> None:
        """Every stage has every version; raises :class:`RoutingError` for one that cannot be."""
        for live in routing.everyone:
            await self._check(live)
            if live not in self.routing.everyone:
                async with asyncio.timeout(LOAD_DEADLINE_S):
                    await asyncio.gather(*(load(live.version, live.path) for load in self._loads))

    async def _check(self, live: Live) -> None:
        if live.version in self.bundles:
            return
        field = f"{live.variant}.version"
        try:
            bundle = await asyncio.to_thread(load_version, live.version, live.path)
        except BundleError as error:
            raise RoutingError(field, str(error)) from None
        missing = sorted(set(bundle.detectors) - self._detectors)
        if missing:
            raise RoutingError(
                field,
                f"{live.version} has {', '.join(missing)}, for which no deployment runs: "
                "start the graph with this version",
            )
        self.bundles[live.version] = bundle

    async def described(self) -> dict[str, Bundle]:
        """The verified bundle of every version in use, by version."""
        for live in self.routing.everyone:
            await self._check(live)
        return self.bundles
