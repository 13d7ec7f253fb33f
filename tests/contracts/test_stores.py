"""What every ``Store`` promises (services/storage/base.py)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from ensemble.verdict import Reason
from preprocessing.event import AuthEvent
from preprocessing.history import Evidence
from services.storage.base import (
    Comparison,
    Disagreement,
    Kept,
    Opinion,
    RoutingEntry,
    Store,
    Tail,
    VerdictQuery,
)
from tests.contracts.stores import (
    DAY_S,
    LIVE,
    NOW_S,
    PEOPLE,
    SHADOW,
    Make,
    all_events,
    ids,
    line,
    run,
    trimmed,
)
from tests.unit.services.storage.batches import (
    batch,
    encoded,
    event_of,
    evidence_of,
    values,
    verdict,
)


def test_an_event_that_is_not_kept(make: Make) -> None:
    async def talk(store: Store) -> None:
        assert await store.get("a") is None
        assert await store.first(["a"]) == {}
        assert await store.first([]) == {}

    run(talk(make()))


def test_an_ordinary_verdict_is_kept_with_its_event(make: Make) -> None:
    ordinary = verdict("a", score=0.98)

    async def talk(store: Store) -> None:
        recorded = batch(ordinary, evidence={0: evidence_of("a")})
        assert await store.append([recorded], NOW_S) == 1
        kept = await store.get("a")
        event = event_of(ordinary)
        assert kept == Kept(encoded(ordinary), "v1", "bundles/v1", "", NOW_S, event=event)

    run(talk(make()))


@pytest.mark.parametrize(
    "notable",
    [verdict("b", "high", "impossible_travel"), verdict("b", score=0.99)],
    ids=["flagged", "rarest 1 %"],
)
def test_a_notable_verdict_is_kept_with_features_and_evidence(make: Make, notable: Any) -> None:
    async def talk(store: Store) -> None:
        evidence = evidence_of("b")
        recorded = batch(verdict("a"), notable, evidence={1: evidence})
        await store.append([recorded], NOW_S)
        of_it = values(1), evidence, event_of(notable, 1001.0)
        expected = Kept(encoded(notable), "v1", "bundles/v1", "", NOW_S, *of_it)
        assert await store.get("b") == expected

    run(talk(make()))


def test_the_first_verdict_of_an_event_stays(make: Make) -> None:
    first, other = verdict("a"), verdict("a", "high", "impossible_travel")

    async def talk(store: Store) -> None:
        assert await store.append([batch(first)], NOW_S) == 1
        assert await store.append([batch(other, verdict("b"))], NOW_S) == 1
        assert await store.first(["a", "b", "c"]) == {
            "a": encoded(first),
            "b": encoded(verdict("b")),
        }
        kept = await store.get("a")
        assert kept is not None
        assert kept.values is None
        assert kept.event == event_of(first)
        assert (await store.size()).flagged == 0
        assert await store.unoffered(10) is None

    run(talk(make()))


def test_the_same_event_twice_in_one_call(make: Make) -> None:
    async def talk(store: Store) -> None:
        twice = batch(verdict("a"), verdict("a", "low", "off_hours_login"))
        assert await store.append([twice, batch(verdict("a"))], NOW_S) == 1
        assert (await store.size()).ordinary == 1

    run(talk(make()))


def test_what_is_no_verdict_is_refused_with_its_whole_call(make: Make) -> None:
    async def talk(store: Store) -> None:
        broken = msgspec.structs.replace(verdict("b"), score="much")
        with pytest.raises(ValueError, match="'b' has no verdict"):
            await store.append([batch(verdict("a")), batch(broken)], NOW_S)
        assert await store.first(["a", "b"]) == {}
        assert await store.append([batch(verdict("a"))], NOW_S) == 1
        kept = await store.get("a")
        assert kept is not None
        assert kept.version == "v1"

    run(talk(make()))


def test_many_ids_at_once(make: Make) -> None:
    many = [verdict(f"e{number}") for number in range(3000)]

    async def talk(store: Store) -> None:
        await store.append([batch(*many)], NOW_S)
        found = await store.first([each.event_id for each in many] + ["other"])
        assert found == {each.event_id: encoded(each) for each in many}

    run(talk(make()))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["a3", "a2", "b1", "a0"]),
        ({"user": "ann"}, ["a3", "a2", "a0"]),
        ({"user": "zoe"}, []),
        ({"since_s": 1001.0, "until_s": 1003.0}, ["a2", "b1"]),
        ({"anomaly": True}, ["a2", "b1"]),
        ({"anomaly": False, "user": "ann"}, ["a3", "a0"]),
        ({"severity_at_least": "medium"}, ["a2"]),
        ({"severity_at_least": "info"}, ["a3", "a2", "b1", "a0"]),
        ({"reason": "off_hours_login"}, ["b1"]),
        ({"version": "v1", "limit": 1}, ["a3"]),
        ({"version": "v2"}, []),
        ({"address": "192.0.2.7", "user": "bob"}, ["b1"]),
        ({"address": "192.0.2.8"}, []),
    ],
)
def test_verdicts_by_what_they_are_found_by(
    make: Make, query: dict[str, Any], expected: list[str]
) -> None:
    async def talk(store: Store) -> None:
        await store.append([PEOPLE], NOW_S)
        assert await ids(store, **query) == expected

    run(talk(make()))


def test_a_verdict_is_found_by_each_of_its_reasons_and_by_none_of_its_words(make: Make) -> None:
    first = verdict("a", "high", "impossible_travel", user_id="off_hours_login")
    second = Reason("off_hours_login", 'says "code":"new_device"', "02:00", "9-17", "T1078", 0.2)
    both = msgspec.structs.replace(first, reasons=(*first.reasons, second))

    async def talk(store: Store) -> None:
        await store.append([batch(both, verdict("b", "low", "impossible_travel"))], NOW_S)
        assert await ids(store, reason="impossible_travel") == ["b", "a"]
        assert await ids(store, reason="off_hours_login") == ["a"]
        assert await ids(store, reason="new_device") == []
        assert await ids(store, reason="off_hours") == []

    run(talk(make()))


@pytest.mark.parametrize("limit", [3, 7])
@pytest.mark.parametrize(
    "query",
    [
        {}, {"user": "ann"}, {"address": "192.0.2.7"}, {"severity_at_least": "low"},
        {"reason": "late_hour"}, {"version": "v1"}, {"anomaly": True}, {"since_s": 5.0},
        {"until_s": 5.5},
    ],
    ids=str,
)  # fmt: skip
def test_pages_hold_every_verdict_once_though_events_happen_at_one_time(
    make: Make, query: dict[str, Any], limit: int
) -> None:
    """Also where a page ends with the last one."""
    names = [f"e{number}" for number in range(7)]

    async def talk(store: Store) -> None:
        for name in names:
            await store.append([batch(verdict(name, "low", "late_hour"), at_s=5.0)], NOW_S)
        seen, after = [], None
        while True:
            page = await store.page(VerdictQuery(limit=limit, after=after, **query))
            seen += [msgspec.json.decode(each)["event_id"] for each in page.verdicts]
            after = page.after
            if after is None:
                break
        assert seen == names[::-1]

    run(talk(make()))


def test_flagged_verdicts_in_order_of_recording(make: Make) -> None:
    async def talk(store: Store) -> None:
        start = await store.flagged(None, 10)
        assert start.flagged == []
        await store.append([PEOPLE], NOW_S)
        await store.append([batch(verdict("late", "low", "unusual_rate"), at_s=1.0)], NOW_S)
        first = await store.flagged(start.place, 2)
        assert [(each.user_id, each.severity) for each in first.flagged] == [
            ("bob", "low"),
            ("ann", "high"),
        ]
        assert first.flagged[1].verdict == PEOPLE.verdicts[2]
        rest = await store.flagged(first.place, 2)
        assert [each.user_id for each in rest.flagged] == ["ann"]
        assert await store.flagged(rest.place, 2) == Tail(rest.place)
        assert (await store.flagged(None, 2)).place == rest.place

    run(talk(make()))


def test_a_place_of_a_store_that_was_lost_counts_as_the_last(make: Make) -> None:
    async def talk(store: Store) -> None:
        await store.append([PEOPLE], NOW_S)
        last = (await store.flagged(None, 1)).place
        assert await store.flagged(10**12, 10) == Tail(last)

    run(talk(make()))


def test_flagged_verdicts_are_offered_until_somebody_took_them(make: Make) -> None:
    evidence, trace = evidence_of("b"), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    flagged = [verdict("b", "high", "impossible_travel"), verdict("c", "low", "unusual_rate")]

    async def talk(store: Store) -> None:
        await store.append(
            [batch(verdict("a"), *flagged, evidence={1: evidence}, traces={1: trace})], NOW_S
        )
        found = await store.unoffered(10)
        assert found is not None
        recorded, place = found
        assert recorded.verdicts == [encoded(each) for each in flagged]
        assert (recorded.event_ids, recorded.alerts) == (["b", "c"], [0, 1])
        assert (recorded.evidence, recorded.traces) == ({0: evidence}, {0: trace})
        assert recorded.stamps == batch(*flagged, at_s=1001.0).stamps
        one_by_one = await store.unoffered(1)
        assert one_by_one is not None
        await store.offered(one_by_one[1])
        rest = await store.unoffered(10)
        assert rest is not None
        assert rest[0].event_ids == ["c"]
        await store.offered(place)
        assert await store.unoffered(10) is None

    run(talk(make()))


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_events_of_a_span_in_order_of_time_then_of_recording(make: Make, limit: int) -> None:
    async def talk(store: Store) -> None:
        assert await all_events(store, 0.0, 9e9, limit) == []
        await store.append([batch(verdict("c"), verdict("d"), verdict("e"), at_s=1000.0)], NOW_S)
        for name in ("tie", "tied"):
            await store.append([batch(verdict(name, "high", "late_hour"), at_s=1001.0)], NOW_S)
        await store.append([batch(verdict("b"), at_s=999.5), batch(verdict("a"), at_s=5.0)], NOW_S)
        everything = ["a", "b", "c", "d", "tie", "tied", "e"]
        assert await all_events(store, 0.0, 9e9, limit) == everything
        assert await all_events(store, 1000.0, 1002.0, limit) == ["c", "d", "tie", "tied"]
        assert await all_events(store, 999.5, 1000.0, limit) == ["b"]
        assert await all_events(store, 1002.5, 9e9, limit) == []

    run(talk(make()))


def test_events_are_those_of_first_answers(make: Make) -> None:
    """Neither repeated events nor those that only a shadow version judged are there twice."""

    async def talk(store: Store) -> None:
        await store.append([SHADOW, batch(verdict("both"), at_s=7.0)], NOW_S)
        await store.append([batch(verdict("both"), verdict("new"))], NOW_S)
        assert await all_events(store, 0.0, 9e9, 10) == ["both", "new"]

    run(talk(make()))


def test_a_shadow_version_is_compared_with_what_was_answered(make: Make) -> None:
    async def talk(store: Store) -> None:
        await store.append([SHADOW, LIVE], NOW_S)
        assert await store.append([SHADOW], NOW_S) == 0
        assert await store.compare("v2", 0.0) == Comparison(
            both=1,
            only_live=1,
            only_shadow=1,
            neither=1,
            unmatched=1,
            live_reasons={"impossible_travel": 1},
            shadow_reasons={"off_hours_login": 1},
        )
        assert await store.compare("v2", 1003.0) == Comparison(neither=1, unmatched=1)
        assert await store.compare("v3", 0.0) == Comparison()
        assert await store.disagreements("v2", 0.0, 10) == [
            Disagreement("shadow", 1002.0, "info", None, "low", "off_hours_login"),
            Disagreement("live", 1001.0, "high", "impossible_travel", "info", None),
        ]
        assert len(await store.disagreements("v2", 0.0, 1)) == 1

    run(talk(make()))


def test_a_shadow_verdict_answers_nobody_and_raises_no_alert(make: Make) -> None:
    async def talk(store: Store) -> None:
        await store.append([SHADOW], NOW_S)
        assert await store.get("both") is None
        assert await store.first(["both"]) == {}
        assert (await store.flagged(0, 10)).flagged == []
        assert await store.unoffered(10) is None
        assert await ids(store) == []
        assert (await store.size()).shadow == 5

    run(talk(make()))


def test_routings_are_numbered_and_kept(make: Make) -> None:
    async def talk(store: Store) -> None:
        assert await store.routings(1) == []
        assert await store.save_routing(b"{}", "kim", "first", 1.0) == 1
        assert await store.save_routing(b"[]", "lee", "", 2.0) == 2
        newest = RoutingEntry(2, 2.0, "lee", "", b"[]")
        assert await store.routings(1) == [newest]
        assert await store.routings(10) == [newest, RoutingEntry(1, 1.0, "kim", "first", b"{}")]

    run(talk(make()))


def test_nothing_is_said_of_an_event_that_is_not_known(make: Make) -> None:
    async def talk(store: Store) -> None:
        await store.append([SHADOW], NOW_S)
        assert await store.say("both", "safe", "kim", "", NOW_S) is None
        assert await store.opinions(limit=10) == await store.opinions_after(0, 10) == []
        assert await store.opinion(1) is None

    run(talk(make()))


def test_what_is_said_is_kept_with_the_event_as_it_came(make: Make) -> None:
    evidence = evidence_of("bad")

    async def talk(store: Store) -> None:
        bad = verdict("bad", "high", "impossible_travel")
        await store.append([batch(verdict("plain"), bad, evidence={1: evidence})], NOW_S)
        said = await store.say("bad", "compromised", "kim", "a\0b \U0001f98a", NOW_S + 0.5)
        assert said is not None
        assert (said.event_id, said.user_id, said.disposition) == ("bad", "ann", "compromised")
        assert (said.by, said.comment, said.at_s) == ("kim", "a\0b \U0001f98a", NOW_S + 0.5)
        assert said.whole
        assert msgspec.msgpack.encode(said.event) == event_of(bad, 1001.0)
        assert await store.opinion(said.serial) == said
        plain = await store.say("plain", "safe", "lee", "", NOW_S + 1.0)
        assert plain is not None
        assert plain.whole
        assert msgspec.msgpack.encode(plain.event) == event_of(verdict("plain"))

    run(talk(make()))


def test_what_is_said_of_an_event_that_is_not_kept_as_it_came(make: Make) -> None:
    """Of what an earlier ztad recorded there is the evidence, or what the verdict is found by."""
    bad, evidence = verdict("bad", "high", "late_hour"), evidence_of("bad")

    async def talk(store: Store) -> None:
        known = batch(verdict("plain"), bad, evidence={1: evidence}, events=[])
        await store.append([known], NOW_S)
        told = await store.say("bad", "safe", "lee", "", NOW_S)
        assert told is not None
        assert told.event == msgspec.msgpack.decode(evidence, type=Evidence).event
        said = await store.say("plain", "safe", "lee", "", NOW_S)
        assert said is not None
        assert not said.whole
        assert said.event == AuthEvent(
            datetime.fromtimestamp(1000.0, UTC), "ann", "success",
            event_id="plain", source_ip="192.0.2.7",
        )  # fmt: skip

    run(talk(make()))


async def said_of_many(store: Store) -> list[Opinion]:
    """Six things said within one microsecond, of three events of two users."""
    await store.append([PEOPLE], NOW_S)
    said = [
        await store.say(event_id, disposition, "kim", "", NOW_S)
        for disposition in ("safe", None)
        for event_id in ("a0", "b1", "a2")
    ]
    return [each for each in said if each is not None]


def test_serials_grow_though_the_clock_does_not(make: Make) -> None:
    async def talk(store: Store) -> None:
        serials = [each.serial for each in await said_of_many(store)]
        assert serials == list(range(serials[0], serials[0] + 6))
        assert serials[0] >= int(NOW_S * 1e6)
        back = await store.say("a0", "safe", "kim", "", NOW_S - 3600.0)
        assert back is not None
        assert back.serial == serials[-1] + 1

    run(talk(make()))


def test_what_was_said_newest_first_page_by_page(make: Make) -> None:
    async def talk(store: Store) -> None:
        said = await said_of_many(store)
        newest = said[::-1]
        assert await store.opinions(limit=10) == newest
        assert await store.opinions(limit=2) == newest[:2]
        assert await store.opinions(before=newest[1].serial, limit=2) == newest[2:4]
        assert await store.opinions(user="bob", limit=10) == [said[4], said[1]]
        assert await store.opinions(event_id="a2", limit=1) == [said[5]]
        assert await store.opinions(user="bob", event_id="a2", limit=10) == []
        mine = await store.opinions(user="ann", before=said[3].serial, limit=10)
        assert mine == [said[2], said[0]]

    run(talk(make()))


def test_what_was_said_after_a_serial_in_order(make: Make) -> None:
    async def talk(store: Store) -> None:
        said = await said_of_many(store)
        assert await store.opinions_after(0, 10) == said
        assert await store.opinions_after(said[1].serial, 2) == said[2:4]
        assert await store.opinions_after(said[-1].serial, 10) == []

    run(talk(make()))


def test_what_was_said_outlives_the_verdict_and_can_be_taken_back(make: Make) -> None:
    async def talk(store: Store) -> None:
        bad = verdict("bad", "high", "impossible_travel")
        await store.append([batch(bad, evidence={0: evidence_of("bad")})], 0.0)
        first = await store.say("bad", "compromised", "kim", "", 1.0)
        assert await trimmed(store, 400 * DAY_S) == 1
        assert await store.get("bad") is None
        undone = await store.say("bad", None, "lee", "", 400 * DAY_S)
        assert first is not None
        assert undone is not None
        assert (undone.event, undone.whole) == (first.event, True)
        assert await store.opinions(limit=10) == [undone, first]

    run(talk(make()))


def test_audit_lines_newest_first_page_by_page(make: Make) -> None:
    lines = [line(name) for name in ("a", "b", "c")]

    async def talk(store: Store) -> None:
        assert await store.audits(None, 10) == []
        await store.audit(lines)
        await store.audit([line("d", NOW_S - 3600.0)])
        newest = await store.audits(None, 10)
        assert [each.line_id for each in newest] == ["d", "c", "b", "a"]
        assert [each.document for each in newest[1:]] == [each.document for each in lines[::-1]]
        assert newest[0].at_s == NOW_S - 3600.0
        assert await store.audits(None, 2) == newest[:2]
        assert await store.audits(newest[1].serial, 1) == newest[2:3]
        assert await store.audits(newest[3].serial, 10) == []

    run(talk(make()))


def test_an_audit_line_that_is_sent_again_is_there_once(make: Make) -> None:
    async def talk(store: Store) -> None:
        await store.audit([line("a"), line("b")])
        first = await store.audits(None, 10)
        await store.audit([line("b"), line("c"), line("c")])
        found = await store.audits(None, 10)
        assert [each.line_id for each in found] == ["c", "b", "a"]
        assert found[1:] == first

    run(talk(make()))
