"""What every ``Store`` promises to let go of, and when (services/storage/base.py)."""

from __future__ import annotations

from services.storage.base import Comparison, Store
from tests.contracts.stores import (
    DAY_S,
    LIVE,
    NOW_S,
    PEOPLE,
    SHADOW,
    Make,
    all_events,
    by_the_row,
    ids,
    line,
    run,
    trimmed,
)
from tests.unit.services.storage.batches import batch, encoded, values, verdict


def test_old_verdicts_go_and_alerts_stay_longer(make: Make) -> None:
    async def talk(store: Store) -> None:
        await store.append([PEOPLE], 0.0)
        await store.append([batch(verdict("new"))], 20 * DAY_S)
        assert await trimmed(store, 29 * DAY_S) == 0
        assert await trimmed(store, 31 * DAY_S) == 2
        assert await ids(store) == ["a2", "b1", "new"]
        kept = await store.get("a2")
        assert kept is not None
        assert kept.values == values(2)
        assert kept.event is not None
        assert await trimmed(store, 366 * DAY_S) == 3
        size = await store.size()
        assert (size.ordinary, size.flagged, size.oldest_s) == (0, 0, None)
        assert await all_events(store, 0.0, 9e9, 10) == []

    run(talk(make()))


@by_the_row
def test_events_of_ordinary_verdicts_go_first(make: Make) -> None:
    async def talk(store: Store) -> None:
        await store.append([PEOPLE], 0.0)
        assert await trimmed(store, 6 * DAY_S) == 0
        assert await trimmed(store, 8 * DAY_S, most=1) > 0
        assert await all_events(store, 0.0, 9e9, 10) == ["b1", "a2"]
        assert await ids(store) == ["a3", "a2", "b1", "a0"]
        plain = await store.get("a3")
        assert plain is not None
        assert plain.event is None
        assert await trimmed(store, 31 * DAY_S) == 2

    run(talk(make(most_event_days=7)))


@by_the_row
def test_no_more_is_removed_than_asked_for(make: Make) -> None:
    async def talk(store: Store) -> None:
        await store.append([batch(*(verdict(f"e{n}") for n in range(5)))], 0.0)
        assert [await store.trim(40 * DAY_S, 2) for _ in range(4)] == [2, 2, 1, 0]

    run(talk(make()))


def test_at_most_so_many_ordinary_verdicts(make: Make) -> None:
    async def talk(store: Store) -> None:
        await store.append([PEOPLE, batch(verdict("c4"), verdict("c5"))], NOW_S)
        assert await trimmed(store, NOW_S) == 2
        assert await ids(store, anomaly=False) == ["c5", "c4"]
        assert await ids(store, anomaly=True) == ["a2", "b1"]

    run(talk(make(most_verdicts=2)))


def test_at_most_so_many_shadow_verdicts(make: Make) -> None:
    async def talk(store: Store) -> None:
        await store.append([SHADOW, LIVE], NOW_S)
        assert await trimmed(store, NOW_S) == 3
        assert await store.compare("v2", 0.0) == Comparison(neither=1, unmatched=1)

    run(talk(make(most_shadow=2)))


@by_the_row
def test_when_space_runs_out_the_least_important_goes_first(make: Make) -> None:
    """Shadow verdicts, ordinary ones but the newest, the events of those, alerts, and only then
    the newest."""
    plain = [verdict(f"p{number}", user_id="u" * 200) for number in range(2000)]
    alerts = [verdict(f"f{number}", "high", "impossible_travel") for number in range(2000)]

    async def talk(store: Store) -> None:
        await store.append([SHADOW, batch(*alerts), batch(*plain)], NOW_S)
        history = []
        while await store.trim(NOW_S, 250):
            size = await store.size()
            events = len(await all_events(store, 0.0, 9e9, 9999))
            history.append((size.shadow, size.ordinary, events, size.flagged))
        assert history[0] == (0, 2000, 4000, 2000)
        only_alerts_went = next(index for index, each in enumerate(history) if each[3] < 2000)
        assert history[only_alerts_went - 1] == (0, 500, 2000, 2000)
        assert (0, 500, 2500, 2000) in history
        assert (await store.size()).used_bytes <= 512 << 10
        assert await store.first(["p1999"])

    run(talk(make(most_bytes=512 << 10, least_verdicts=500)))


@by_the_row
def test_space_is_used_again(make: Make) -> None:
    """However much is written, what lies on the disk stays within the limit."""
    most_bytes = 1 << 20

    async def talk(store: Store) -> None:
        for number in range(30):
            plain = [verdict(f"{number}-{n}") for n in range(500)]
            await store.append([batch(*plain)], NOW_S)
            while await store.trim(NOW_S, 1000):
                pass
        size = await store.size()
        assert 1000 < size.ordinary < 15_000
        assert size.used_bytes <= most_bytes
        assert await store.first(["29-499", "0-0"]) == {"29-499": encoded(verdict("29-499"))}

    run(talk(make(most_bytes=most_bytes)))


def test_size_tells_what_there_is(make: Make) -> None:
    async def talk(store: Store) -> None:
        await store.append([PEOPLE], 5.0)
        size = await store.size()
        assert (size.ordinary, size.flagged, size.oldest_s) == (2, 2, 5.0)
        assert 0 < size.used_bytes <= size.file_bytes

    run(talk(make()))


def test_what_was_said_and_done_goes_after_its_own_time(make: Make) -> None:
    async def talk(store: Store) -> None:
        await store.append([PEOPLE], 0.0)
        for day in (0, 1, 40):
            await store.say("a0", "safe", "kim", "", day * DAY_S)
            await store.audit([line(f"l{day}", day * DAY_S)])
        assert await trimmed(store, 21.5 * DAY_S, most=1) == 2
        assert len(await store.opinions(limit=10)) == 3
        assert [each.line_id for each in await store.audits(None, 10)] == ["l40"]
        assert await trimmed(store, 31.5 * DAY_S) == 2 + 2
        assert [each.at_s for each in await store.opinions(limit=10)] == [40 * DAY_S]

    run(talk(make(most_feedback_days=30, most_audit_days=20)))
