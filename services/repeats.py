"""Repeated event ids are answered with their first verdict, wherever it is by now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from services.recording import Call, RecordQueue, called
from services.wire import Judged, Part

#: How long a repeated event waits for the first verdict that is still on its way, seconds.
FIRST_VERDICT_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Settled:
    """The answers of one part, and the rows whose first verdict is on record already."""

    answers: list[bytes]
    repeats: frozenset[int]


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """A batch on its way through the detectors and the Combiner."""

    event_ids: frozenset[str]
    judged: asyncio.Event


class Repeats:
    """Knows the batches under way, the verdicts on their way to the Recorder, and whom to ask."""

    def __init__(
        self, queue: RecordQueue, first: Call, transient: tuple[type[Exception], ...]
    ) -> None:
        self._queue = queue
        self._first = first
        self._transient = transient
        self._judging: list[_Batch] = []

    @contextmanager
    def under_way(self, parts: Sequence[Part]) -> Iterator[list[_Batch]]:
        """Marks a batch as being judged; gives those that were before it."""
        ids = frozenset(event_id for part in parts for event_id in part.event_ids)
        batch = _Batch(ids, asyncio.Event())
        earlier = list(self._judging)
        self._judging.append(batch)
        try:
            yield earlier
        finally:
            self._judging.remove(batch)
            batch.judged.set()

    async def settle(
        self,
        parts: Sequence[Part],
        judged: Sequence[Judged],
        earlier: Sequence[_Batch],
        *,
        retried: bool,
    ) -> list[Settled]:
        """Each part's answers, repeated ids with their first verdict.

        A repeated id that nobody remembers is on record from now on. ``retried`` says that this is
        our own second attempt: the client never got an answer to the first.
        """
        repeated = [part.event_ids[row] for part in parts for row in part.duplicates]
        if not repeated:
            return [Settled(verdicts.verdicts, frozenset()) for verdicts in judged]
        await _first_ones(repeated, earlier)
        known = await self._known(parts, judged, repeated)
        return [
            _settled(part, verdicts.verdicts, known, retried=retried)
            for part, verdicts in zip(parts, judged, strict=True)
        ]

    async def _known(
        self, parts: Sequence[Part], judged: Sequence[Judged], repeated: list[str]
    ) -> dict[str, bytes]:
        """The first verdicts of repeated ids, as far as anybody has them."""
        known: dict[str, bytes] = {}
        for part, verdicts in zip(parts, judged, strict=True):
            repeats = frozenset(part.duplicates)
            for row, event_id in enumerate(part.event_ids):
                if row not in repeats:
                    known[event_id] = verdicts.verdicts[row]
        known |= self._queue.find([id_ for id_ in repeated if id_ not in known])
        missing = [id_ for id_ in repeated if id_ not in known]
        if missing:
            known |= await self._remembered(missing)
        return known

    async def _remembered(self, event_ids: list[str]) -> dict[str, bytes]:
        try:
            known: dict[str, bytes] = await called(
                self._first, event_ids, within_s=FIRST_VERDICT_WAIT_S
            )
        except self._transient:
            return {}
        return known


async def _first_ones(event_ids: Iterable[str], earlier: Iterable[_Batch]) -> None:
    """Wait for the batches that are to give some of these ids their first verdict."""
    wanted = set(event_ids)
    try:
        async with asyncio.timeout(FIRST_VERDICT_WAIT_S):
            for batch in earlier:
                if not batch.judged.is_set() and not wanted.isdisjoint(batch.event_ids):
                    await batch.judged.wait()
    except TimeoutError:
        return


def _settled(
    part: Part, verdicts: Sequence[bytes], known: dict[str, bytes], *, retried: bool
) -> Settled:
    answers, repeats = list(verdicts), set[int]()
    for row in part.duplicates:
        event_id = part.event_ids[row]
        first = known.get(event_id)
        if first is not None:
            answers[row] = marked(first, duplicate=True)
            repeats.add(row)
            continue
        if retried:
            answers[row] = marked(verdicts[row], duplicate=False)
        known[event_id] = answers[row]
    return Settled(answers, frozenset(repeats))


def marked(verdict: bytes, *, duplicate: bool) -> bytes:
    """An encoded verdict with ``duplicate`` set, every other byte of its values unchanged."""
    fields = msgspec.json.decode(verdict, type=dict[str, msgspec.Raw])
    fields["duplicate"] = msgspec.Raw(b"true" if duplicate else b"false")
    return msgspec.json.encode(fields)
