"""``ztad replay``: past events through any version, from a store and from topics."""

from __future__ import annotations

import asyncio
import json
from argparse import ArgumentTypeError
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from ensemble.scorer import Scorer
from models.bundle import Bundle
from preprocessing.event import AuthEvent, encode_event
from services.cli import main
from services.commands.past import Span, TopicPast
from services.commands.replay import moment
from services.commands.rescoring import LEARN_WITHIN_S, Version, batches
from services.storage.base import Limits
from services.storage.opening import open_store
from services.streaming.base import Outgoing, Topic
from services.streaming.memory import MemoryBroker
from services.wire import Recorded
from tests.unit.services.copies import copied

NOW_S = 4e9


def answered(bundle: Bundle, events: Sequence[AuthEvent]) -> list[Recorded]:
    """The events with the verdicts of a bundle, as they go on record."""
    scorer = Scorer(bundle)
    return [
        Recorded(
            event_ids=[event.event_id for event in batch],
            verdicts=[msgspec.json.encode(each) for each in scorer.score(batch, now_s=NOW_S)],
            columns=0,
            values=b"",
            stamps=np.array([event.timestamp.timestamp() for event in batch]).tobytes(),
            addresses=[event.source_ip or "" for event in batch],
            evidence={},
            alerts=[],
            version=bundle.version,
            path=str(bundle.path),
            events=[msgspec.msgpack.encode(event) for event in batch],
        )
        for batch in batches(events)
    ]


def kept(folder: Path, recorded: list[Recorded]) -> str:
    """A store that holds them; its address."""

    async def keep() -> None:
        store = open_store(str(folder), Limits(1 << 30, 1e5, 1e5))
        await store.append(recorded, NOW_S)
        store.close()

    asyncio.run(keep())
    return str(folder)


@pytest.fixture(scope="module")
def past(fresh_events: list[AuthEvent]) -> list[AuthEvent]:
    return sorted(fresh_events[:500], key=lambda event: event.timestamp)


@pytest.fixture(scope="module")
def store(bundle: Bundle, past: list[AuthEvent], tmp_path_factory: pytest.TempPathFactory) -> str:
    return kept(tmp_path_factory.mktemp("store"), answered(bundle, past))


def days(events: Sequence[AuthEvent]) -> list[str]:
    """A span that holds them all."""
    first, last = events[0].timestamp, events[-1].timestamp
    return ["--from", f"{first:%Y-%m-%d}", "--to", f"{last:%Y-%m-%dT23:59:59Z}"]


def report(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["replay", "--json", *words]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_the_same_version_says_what_it_said(
    capsys: pytest.CaptureFixture[str], store: str, bundle: Bundle, past: list[AuthEvent]
) -> None:
    words = [*days(past), "--store", store, "--bundle", str(bundle.path), "--against", "recorded"]
    told = report(capsys, *words)
    difference = told["difference"]
    assert told["events"] == difference["scored"] == len(past)
    assert told["alerts"] == difference["both"] > 0
    assert difference["gained"]["events"] == difference["lost"]["events"] == 0
    assert sum(told["severities"].values()) == sum(told["reasons"].values()) == told["alerts"]


def test_against_another_version(
    capsys: pytest.CaptureFixture[str],
    store: str,
    bundle: Bundle,
    past: list[AuthEvent],
    tmp_path: Path,
) -> None:
    other = copied(bundle, tmp_path / "other", "other", detectors=bundle.detectors[:1])
    words = [*days(past), "--store", store, "--bundle", str(other)]
    told = report(capsys, *words, "--against", str(bundle.path))
    difference = told["difference"]
    assert (told["version"], told["against"]) == ("other", bundle.version)
    assert told["alerts"] == difference["both"] + difference["gained"]["events"]
    assert main(["replay", *words, "--against", str(bundle.path)]) == 0
    shown = capsys.readouterr().out
    assert f"{difference['both']:,} of both" in shown


def test_what_is_before_the_span_is_learned_and_not_told(
    capsys: pytest.CaptureFixture[str],
    store: str,
    bundle: Bundle,
    past: list[AuthEvent],
    tmp_path: Path,
) -> None:
    middle = past[250].timestamp
    out = tmp_path / "verdicts.ndjson"
    words = ["--from", middle.isoformat(), *days(past)[2:], "--store", store]
    told = report(capsys, *words, "--bundle", str(bundle.path), "--out", str(out))
    wanted = [event.event_id for event in past if event.timestamp >= middle]
    assert told["events"] == len(wanted)
    verdicts = [json.loads(line) for line in out.read_text().splitlines()]
    assert [each["event_id"] for each in verdicts] == wanted
    recorded = report(capsys, *words, "--bundle", str(bundle.path), "--against", "recorded")
    assert recorded["difference"]["rank_correlation"] > 0.99


def test_a_version_whose_training_saw_the_span_begins_with_nothing(
    capsys: pytest.CaptureFixture[str],
    bundle: Bundle,
    training_events: list[AuthEvent],
    tmp_path: Path,
) -> None:
    seen = sorted(training_events, key=lambda event: event.timestamp)[:200]
    folder = kept(tmp_path / "store", answered(bundle, seen))
    out = tmp_path / "verdicts.ndjson"
    report(capsys, *days(seen), "--store", folder, "--bundle", str(bundle.path), "--out", str(out))
    verdicts = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(verdicts) == 200
    assert not any(each["late"] for each in verdicts)
    assert verdicts[0]["learning"]


def test_nothing_in_the_span(
    capsys: pytest.CaptureFixture[str], store: str, bundle: Bundle, past: list[AuthEvent]
) -> None:
    words = ["--store", store, "--bundle", str(bundle.path)]
    assert main(["replay", "--from", "2001-01-01", "--to", "2001-01-02", *words]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert "there are no events" in told
    assert f"{past[0].timestamp.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" in told


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--from", "yesterday"], "expected 2026-11-22"),
        (["--from", "2026-01-02", "--to", "2026-01-01"], "--to is not after --from"),
        (["--from", "2026-01-01", "--warm-up", "-3"], "expected 0 to 3,660 days"),
    ],
)
def test_bad_words(
    capsys: pytest.CaptureFixture[str], store: str, bundle: Bundle, words: list[str], complaint: str
) -> None:
    try:
        code = main(["replay", *words, "--store", store, "--bundle", str(bundle.path)])
    except SystemExit as left:
        code = int(left.code or 0)
    assert code == 2
    assert complaint in capsys.readouterr().err


def test_a_folder_without_a_store_is_not_given_one(
    capsys: pytest.CaptureFixture[str], bundle: Bundle, tmp_path: Path
) -> None:
    words = ["--from", "2026-01-01", "--store", str(tmp_path), "--bundle", str(bundle.path)]
    assert main(["replay", *words]) == 2
    assert "there is no store" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_moments() -> None:
    assert moment("2026-11-22T01:00:00+01:00") == moment("2026-11-22")
    with pytest.raises(ArgumentTypeError):
        moment("22.11.2026")


def test_a_version_is_told_from_another_of_the_same_name(
    capsys: pytest.CaptureFixture[str], store: str, bundle: Bundle, past: list[AuthEvent]
) -> None:
    words = [*days(past), "--store", store, "--bundle", str(bundle.path)]
    told = report(capsys, *words, "--against", str(bundle.path))
    assert told["version"] == f"{bundle.path} ({bundle.version})"
    assert told["difference"]["users_affected"] == 0


def test_the_report_goes_into_a_file_beside_the_tables(
    capsys: pytest.CaptureFixture[str],
    store: str,
    bundle: Bundle,
    past: list[AuthEvent],
    tmp_path: Path,
) -> None:
    out = tmp_path / "report.json"
    words = [*days(past), "--store", store, "--bundle", str(bundle.path), "--against", "recorded"]
    assert main(["replay", *words, "--json", str(out)]) == 0
    shown = capsys.readouterr().out
    told = json.loads(out.read_text())
    assert f"events judged by both: {told['difference']['scored']:,}" in shown
    assert "users affected: 0" in shown
    assert told["histories"][0]["begun_empty"] is False


def test_verdicts_on_stdout_are_alone_there(
    capsys: pytest.CaptureFixture[str], store: str, bundle: Bundle, past: list[AuthEvent]
) -> None:
    words = [*days(past), "--store", store, "--bundle", str(bundle.path), "--out", "-"]
    assert main(["replay", *words]) == 0
    shown = capsys.readouterr()
    assert len([json.loads(line) for line in shown.out.splitlines()]) == len(past)
    assert f"what {bundle.version} says" in shown.err
    assert main(["replay", *words, "--json"]) == 2
    assert "both for stdout" in capsys.readouterr().err


def test_what_a_history_has_is_not_learned_again(
    store: str, bundle: Bundle, past: list[AuthEvent]
) -> None:
    version = Version(bundle.path)
    span = Span(past[250].timestamp.timestamp(), past[-1].timestamp.timestamp() + 1)
    assert version.begin(span, 0.0) == span.since_s
    assert version.begin(span, 1e9) > span.since_s - 1e9
    begun_s = version.begin(span, 3600.0)
    before = [each for each in past if begun_s <= each.timestamp.timestamp() < span.since_s]
    assert len(version.score(past, span, NOW_S)) == 250
    assert version.learned == len(before)
    assert not version.forgot


def test_a_topic_is_read_until_both_event_and_message_are_behind_the_span(
    past: list[AuthEvent],
) -> None:
    """What is late by less than the bound is found; a poison message beyond it is never met."""
    broker = MemoryBroker()
    broker.ensure([Topic("events", 1)])
    begin = past[0].timestamp.replace(microsecond=0)

    def at(name: str, seconds: float) -> Outgoing:
        event = msgspec.structs.replace(
            past[0], event_id=name, timestamp=begin + timedelta(seconds=seconds)
        )
        return Outgoing("events", encode_event(event), b"k")

    poison = Outgoing("events", b"no event", b"k")
    some = [at("in", 5), at("behind", 11), at("late", 8), at("far behind", 71)]
    broker.sink().deliver([*some, at("too late", 9), poison])
    span = Span(begin.timestamp(), begin.timestamp() + 10)
    topic = TopicPast(broker, "events", late_s=60.0)
    assert [each.event_id for each in topic.events(span)] == ["in", "late"]
    assert topic.skipped == 0
    patient = TopicPast(broker, "events", late_s=61.5)
    assert [each.event_id for each in patient.events(span)] == ["in", "late", "too late"]
    assert patient.skipped == 1


def test_batches_are_learned_within_a_minute(past: list[AuthEvent]) -> None:
    same = [past[0]] * 251
    minute = msgspec.structs.replace(
        past[0], timestamp=past[0].timestamp + timedelta(seconds=LEARN_WITHIN_S)
    )
    assert [len(batch) for batch in batches([*same, minute])] == [250, 1, 1]


def test_partitions_of_a_topic_are_put_together_by_time(past: list[AuthEvent]) -> None:
    broker = MemoryBroker()
    broker.ensure([Topic("events", 3)])
    sink = broker.sink()
    sink.deliver([Outgoing("events", encode_event(each), each.user_id.encode()) for each in past])
    nameless = msgspec.structs.replace(past[0], event_id="", user_id="nameless")
    sink.deliver(
        [Outgoing("events", b"no event", b"x"), Outgoing("events", encode_event(nameless))]
    )
    since, until = past[100].timestamp, past[400].timestamp
    topic = TopicPast(broker, "events")
    span = Span(since.timestamp(), until.timestamp())
    found = list(topic.events(span))
    assert [each.timestamp for each in found] == sorted(
        each.timestamp for each in past if since <= each.timestamp < until
    )
    whole = Span(0.0, datetime.now(UTC).timestamp() + 1e6)
    ids = {each.event_id for each in topic.events(whole)}
    assert len(ids) == len(past) + 1
    assert any(each.startswith("events-") for each in ids)
    assert topic.skipped > 0
