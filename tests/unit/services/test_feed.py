"""services/feed.py: whoever listens sees everything once, or is told how much was left out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from services import feed as feeds
from services.feed import Feed, Listener
from services.storage.base import Flagged, Tail
from tests.unit.services.stages import Died, Stage, until


class Asked(Stage):
    """A remote method that takes its time."""

    async def _do(self, planned: Any, args: tuple[Any, ...]) -> Any:
        return await (await super()._do(planned, args))


class Recorded:
    """A Recorder that knows flagged verdicts; places 1, 2, 3, ..."""

    def __init__(self) -> None:
        self.flagged: list[Flagged] = []
        self.news = asyncio.Event()
        self.method = Asked(self.answer)

    def add(self, *users: str) -> None:
        """One verdict for each user."""
        for user in users:
            place = len(self.flagged) + 1
            self.flagged.append(Flagged(place, "high", user, b'{"n":%d}' % place))
        self.news.set()

    def lose(self) -> None:
        """A store that begins again."""
        self.flagged = []
        self.news.set()

    async def answer(self, after: int | None, limit: int, wait_s: float = 0.0) -> Tail:
        last = len(self.flagged)
        if after is None or after > last:
            return Tail(last)
        if after == last and wait_s:
            self.news.clear()
            await self.news.wait()
        found = self.flagged[after : after + limit]
        return Tail(found[-1].place if found else last, found)


def everybody(flagged: Flagged) -> bool:
    return True


def run(talk: Callable[[Recorded, Feed], Awaitable[None]]) -> None:
    async def talking() -> None:
        recorded = Recorded()
        async with asyncio.timeout(30):
            await talk(recorded, Feed(recorded.method))

    asyncio.run(talking())


async def listening(feed: Feed, after: int | None = None, *users: str) -> Listener:
    """A listener that was greeted, once the feed knows where it begins."""
    listener = feed.listen(after, (lambda each: each.user_id in users) if users else everybody)
    assert await anext(listener) == b"retry: 2000\n\n"
    await until(lambda: feed.since is not None)
    return listener


async def next_places(listener: Listener) -> list[int]:
    """The places of the verdicts in the next chunk."""
    return [place for place, _ in told(await anext(listener))]


def told(chunk: bytes) -> list[tuple[int, dict[str, Any]]]:
    """Ids and data of the events in a chunk."""
    events = []
    for event in chunk.decode().removesuffix("\n\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in event.split("\n"))
        data = json.loads(fields["data"]) | {"event": fields.get("event")}
        events.append((int(fields["id"]), data))
    return events


def test_what_is_recorded_comes_by() -> None:
    async def talk(recorded: Recorded, feed: Feed) -> None:
        recorded.add("before")
        listener = await listening(feed)
        recorded.add("ann", "bob")
        assert told(await anext(listener)) == [
            (2, {"n": 2, "event": None}),
            (3, {"n": 3, "event": None}),
        ]
        recorded.add("cid")
        assert await next_places(listener) == [4]
        await listener.aclose()

    run(talk)


def test_many_listeners_cost_one_question() -> None:
    async def talk(recorded: Recorded, feed: Feed) -> None:
        listeners = [await listening(feed) for _ in range(10)]
        recorded.add("ann")
        for listener in listeners:
            assert await next_places(listener) == [1]
        asked = [call[0] for call in recorded.method.calls]
        assert asked in ([None, 0], [None, 0, 1])
        for listener in listeners:
            await listener.aclose()

    run(talk)


def test_only_what_is_wanted_is_told() -> None:
    async def talk(recorded: Recorded, feed: Feed) -> None:
        listener = await listening(feed, None, "bob")
        recorded.add("ann", "bob", "ann")
        assert await next_places(listener) == [2]
        recorded.add("ann")
        recorded.add("bob")
        assert await next_places(listener) == [5]
        await listener.aclose()

    run(talk)


@pytest.mark.parametrize("page", [2, 500])
def test_one_that_resumes_sees_everything_since_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(feeds, "PAGE", page)

    async def talk(recorded: Recorded, feed: Feed) -> None:
        recorded.add(*"abcdefg")
        listener = await listening(feed, 2)
        seen: list[int] = []
        while len(seen) < 5:
            seen += await next_places(listener)
        recorded.add("h")
        seen += await next_places(listener)
        assert seen == [3, 4, 5, 6, 7, 8]
        await listener.aclose()

    run(talk)


def test_one_that_resumes_while_more_comes_misses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feeds, "PAGE", 3)

    async def talk(recorded: Recorded, feed: Feed) -> None:
        recorded.add(*"abcdefg")
        listener = await listening(feed, 0)
        seen: list[int] = []
        while len(seen) < 20:
            if len(recorded.flagged) < 20:
                recorded.add("more")
            seen += await next_places(listener)
        assert seen == list(range(1, 21))
        await listener.aclose()

    run(talk)


def test_a_place_that_is_not_there_yet_is_now() -> None:
    """As one from a store that was lost."""

    async def talk(recorded: Recorded, feed: Feed) -> None:
        recorded.add("ann")
        listener = await listening(feed, 10**6)
        recorded.add("bob")
        assert await next_places(listener) == [2]
        await listener.aclose()

    run(talk)


def test_a_store_that_is_lost_meanwhile() -> None:
    async def talk(recorded: Recorded, feed: Feed) -> None:
        recorded.add("ann", "bob")
        listener = await listening(feed)
        recorded.add("cid")
        assert await next_places(listener) == [3]
        recorded.lose()
        await until(lambda: feed.place == 0)
        recorded.add("new")
        assert await next_places(listener) == [1]
        await listener.aclose()

    run(talk)


def test_one_that_is_too_slow_is_told_how_many_it_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MOST_BEHIND", 3)

    async def talk(recorded: Recorded, feed: Feed) -> None:
        slow, fast = await listening(feed), await listening(feed)
        recorded.add("ann")
        assert await next_places(slow) == [1]
        seen: list[int] = []
        for _ in range(8):
            recorded.add("bob")
            seen += await next_places(fast)
        assert seen == [*range(1, 10)]
        assert told(await anext(slow)) == [(9, {"verdicts": 8, "event": "skipped"})]
        recorded.add("cid")
        assert await next_places(slow) == [10]
        await slow.aclose()
        await fast.aclose()

    run(talk)


def test_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "HEARTBEAT_S", 0.01)

    async def talk(recorded: Recorded, feed: Feed) -> None:
        listener = await listening(feed)
        assert await anext(listener) == b": alive\n\n"
        recorded.add("ann")
        while (chunk := await anext(listener)) == b": alive\n\n":
            pass
        assert told(chunk)[0][0] == 1
        await listener.aclose()

    run(talk)


def test_a_recorder_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "PAUSE_S", 0)

    async def talk(recorded: Recorded, feed: Feed) -> None:
        recorded.method.plan = [Died(), Died()]
        recorded.add("ann")
        listener = await listening(feed, 0)
        assert await next_places(listener) == [1]
        recorded.method.plan = [Died()]
        recorded.add("bob")
        assert await next_places(listener) == [2]
        await listener.aclose()

    run(talk)


def test_the_past_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "PAUSE_S", 0)

    async def talk(recorded: Recorded, feed: Feed) -> None:
        recorded.add("ann")
        listener = await listening(feed, 0)
        await until(lambda: len(recorded.method.calls) == 2)
        recorded.method.plan = [Died()]
        assert await next_places(listener) == [1]
        await listener.aclose()

    run(talk)


def test_without_listeners_nobody_is_asked() -> None:
    async def talk(recorded: Recorded, feed: Feed) -> None:
        first = await listening(feed)
        await first.aclose()
        await first.aclose()
        asked = len(recorded.method.calls)
        recorded.add("missed")
        second = await listening(feed)
        assert recorded.method.calls[asked:][0] == (None, feeds.PAGE, feeds.POLL_S)
        recorded.add("seen")
        assert await next_places(second) == [2]
        await second.aclose()

    run(talk)


def test_there_is_place_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MOST_LISTENERS", 2)

    async def talk(recorded: Recorded, feed: Feed) -> None:
        one, two = await listening(feed), await listening(feed)
        assert feed.full
        await one.aclose()
        assert not feed.full
        await two.aclose()

    run(talk)
