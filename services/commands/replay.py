"""``ztad replay``: what a bundle makes of past events. Nothing live hears of it."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from services.commands.past import Past, Span, StoredPast, TopicPast, stored
from services.progress import counting
from services.settings import load
from services.storage.errors import StoreError

if TYPE_CHECKING:
    from ensemble.comparison import Comparison
    from ensemble.scorer import Scorer
    from ensemble.verdict import Verdict
    from preprocessing.event import AuthEvent

SUMMARY = "score past events again with any model version, and tell what differs"
RECORDED = "recorded"
DAY_S = 86400.0
#: Two weeks hold every weekday twice: enough for the ten events after which a user is known.
WARM_UP_DAYS = 14.0


class NothingThere(StoreError):
    """A span without events."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "replay", help=SUMMARY,
        description=f"{SUMMARY}. The live history, the store, positions in topics and alerts stay "
                    "as they are.",
    )  # fmt: skip
    parser.add_argument(
        "--from", dest="since", type=moment, required=True, metavar="TIME",
        help="first time of an event: 2026-11-22 (UTC) or 2026-11-22T08:00:00+01:00",
    )  # fmt: skip
    parser.add_argument(
        "--to", dest="until", type=moment, metavar="TIME", help="before this time (default now)"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--store", nargs="?", const="", metavar="WHERE",
        help="a folder or postgresql://user@host:port/name (default: what ztad serve uses)",
    )  # fmt: skip
    source.add_argument(
        "--topic", nargs="?", const="", metavar="NAME",
        help="a topic of the Kafka that ZTAD_KAFKA names (default ztad.events)",
    )  # fmt: skip
    parser.add_argument(
        "--bundle", type=Path, required=True,
        help="made by ztad train; or a registered version, or champion",
    )  # fmt: skip
    parser.add_argument(
        "--against", metavar="VERSION",
        help="what to compare with: a bundle or version, or 'recorded' for the verdicts that were "
             "answered then",
    )  # fmt: skip
    parser.add_argument(
        "--warm-up", type=_days, default=WARM_UP_DAYS, metavar="DAYS",
        help="so many days before are learned without being reported, so that users are known "
             f"(default {WARM_UP_DAYS:.0f})",
    )  # fmt: skip
    parser.add_argument("--out", metavar="FILE", help="verdicts as NDJSON, or CSV by suffix")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 whether or not anything differs; 2 for a span without events."""
    from services.streaming.base import StreamError

    span = Span(args.since, args.until or time.time())
    if span.until_s <= span.since_s:
        return _refused("--to is not after --from")
    try:
        with ExitStack() as stack:
            return _replay(args, span, _past(args, stack))
    except (NothingThere, StreamError) as error:
        return _refused(str(error))


def moment(text: str) -> float:
    """A date, or a time with its offset, in seconds since the epoch; without an offset UTC.

    >>> moment("1970-01-02"), moment("1970-01-01T01:00:00+01:00")
    (86400.0, 0.0)
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        message = f"expected 2026-11-22 or 2026-11-22T08:00:00+01:00, got {text!r}"
        raise argparse.ArgumentTypeError(message) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _replay(args: argparse.Namespace, span: Span, past: Past) -> int:
    from services.commands.outputs import output, verdict_writer

    versions = _Versions(args, past)
    warm = versions.begin(span, args.warm_up * DAY_S)
    told = _Told()
    with ExitStack() as stack:
        writer = None
        if args.out is not None:
            stream = stack.enter_context(output(args.out))
            writer = verdict_writer(args.out, stream, versions.detectors)
        advance = stack.enter_context(counting("replaying")).advance
        for batch in _batches(past.events(warm)):
            scored = versions.score(batch, span)
            advance(len(batch))
            told.add(scored)
            if writer is not None:
                writer.write(scored)
    if not told.events:
        raise _nothing(past)
    _report(args, told, versions, past)
    return 0


class _Versions:
    """The version that is tried, and what it is compared with."""

    def __init__(self, args: argparse.Namespace, past: Past) -> None:
        from ensemble.comparison import Comparison

        self.name, self._scorer = _scorer(args.bundle)
        self._other: Scorer | None = None
        self._recorded = past if args.against == RECORDED else None
        if self._recorded is not None and not isinstance(past, StoredPast):
            raise StoreError("--against recorded", "a topic has no verdicts", "name a --store")
        self.against = args.against
        if args.against is not None and self._recorded is None:
            self.against, self._other = _scorer(Path(args.against))
        self.compared: Comparison | None = Comparison() if args.against else None
        self.unrecorded = 0

    @property
    def detectors(self) -> Sequence[str]:
        return tuple(self._scorer.detectors)

    def begin(self, span: Span, warm_s: float) -> Span:
        """From when on events are taken in.

        A bundle whose training saw the span begins with an empty history: it must not know what
        came later.
        """
        since_s = span.since_s - warm_s
        scorers = [one for one in (self._scorer, self._other) if one is not None]
        for scorer in scorers:
            _forget_what_came_later(scorer, span.since_s)
        newest_s = min(scorer.history.newest_s for scorer in scorers)  # type: ignore[attr-defined]
        return Span(min(span.since_s, max(since_s, newest_s)), span.until_s)

    def score(self, batch: list[AuthEvent], span: Span) -> list[Verdict]:
        """The verdicts on those events of a batch that are in the span."""
        now_s = time.time()
        scored = self._scorer.score(batch, now_s=now_s)
        other = self._other.score(batch, now_s=now_s) if self._other else None
        rows = [row for row, each in enumerate(batch) if each.timestamp.timestamp() >= span.since_s]
        if rows and self.compared is not None:
            self._compare([batch[row] for row in rows], [scored[row] for row in rows],
                          None if other is None else [other[row] for row in rows])  # fmt: skip
        return [scored[row] for row in rows]

    def _compare(
        self, events: list[AuthEvent], scored: list[Verdict], other: list[Verdict] | None
    ) -> None:
        if other is None:
            events, scored, other = self._answered(events, scored)
        assert self.compared is not None
        self.compared.add(events, (other, scored), [None] * len(events))

    def _answered(
        self, events: list[AuthEvent], scored: list[Verdict]
    ) -> tuple[list[AuthEvent], list[Verdict], list[Verdict]]:
        """What was answered then; events of which that is not kept any more are left out."""
        from ensemble.verdict import Verdict

        assert isinstance(self._recorded, StoredPast)
        kept = self._recorded.verdicts([event.event_id for event in events])
        decode = msgspec.json.Decoder(Verdict).decode
        rows = [row for row, event in enumerate(events) if event.event_id in kept]
        self.unrecorded += len(events) - len(rows)
        answered = [decode(kept[events[row].event_id]) for row in rows]
        return [events[row] for row in rows], [scored[row] for row in rows], answered


class _Told:
    """Counts of what the version said."""

    def __init__(self) -> None:
        self.events = 0
        self.users: set[str] = set()
        self.severities: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()

    def add(self, verdicts: Iterable[Verdict]) -> None:
        for verdict in verdicts:
            self.events += not verdict.duplicate
            if verdict.is_anomaly and not verdict.duplicate:
                self.users.add(verdict.user_id)
                self.severities[verdict.severity] += 1
                self.reasons[verdict.reasons[0].code] += 1


def _scorer(name: Path) -> tuple[str, Scorer]:
    from ensemble.scorer import Scorer, load_bundle
    from services.commands.registering import local_bundle

    bundle = load_bundle(local_bundle(name))
    return bundle.version, Scorer(bundle)


def _forget_what_came_later(scorer: Scorer, since_s: float) -> None:
    from preprocessing.embedded import EmbeddedHistory

    history = scorer.history
    if isinstance(history, EmbeddedHistory) and history.newest_s >= since_s:
        scorer.history = EmbeddedHistory(history.settings)


def _batches(events: Iterator[AuthEvent]) -> Iterator[list[AuthEvent]]:
    from services.commands.score import batches

    return batches(events)


def _past(args: argparse.Namespace, stack: ExitStack) -> Past:
    """Where events are read from; the store where nothing is said."""
    settings = load()
    if args.topic is None:
        from services.commands.store import default_store

        return stack.enter_context(stored(args.store or default_store(settings)))
    from services.streaming.opening import from_environment, open_broker

    stream = from_environment(settings)
    if stream is None:
        raise StoreError("ZTAD_KAFKA", "is not set", "name the brokers: HOST:PORT")
    return TopicPast(open_broker(stream, settings), args.topic or stream.events)


def _nothing(past: Past) -> NothingThere:
    known = past.known()
    there = "none are known of" if known is None else f"there are some {_spelt(known)}"
    return NothingThere("this span", f"has no events, {there}", "name another --from and --to")


def _spelt(span: Span) -> str:
    return f"from {_time(span.since_s)} to {_time(span.until_s)}"


def _time(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _report(args: argparse.Namespace, told: _Told, versions: _Versions, past: Past) -> None:
    from services.commands.comparing import document_of, show

    compared = versions.compared
    names = (str(versions.against), versions.name)
    if args.json:
        document = {
            "version": versions.name,
            "events": told.events,
            "skipped": past.skipped,
            "alerts": told.severities.total(),
            "users": len(told.users),
            "severities": dict(told.severities.most_common()),
            "reasons": dict(told.reasons.most_common()),
            "against": versions.against,
            "without_recorded_verdict": versions.unrecorded,
            "difference": compared and document_of(compared),
        }
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
        return
    _show(told, versions.name)
    if past.skipped:
        print(f"{past.skipped:,} messages are no events and were passed over")
    if versions.unrecorded:
        print(f"{versions.unrecorded:,} events have no recorded verdict any more")
    if compared is not None:
        show(compared, names, sys.stdout)


def _show(told: _Told, version: str) -> None:
    from rich.table import Table

    from services.commands.findings import console

    table = Table(title=f"what {version} says", show_header=False)
    rows: list[tuple[str, Any]] = [
        ("events", told.events),
        ("alerts", told.severities.total()),
        ("users in them", len(told.users)),
        *((f"of severity {name}", count) for name, count in told.severities.most_common()),
        *((f"because of {code}", count) for code, count in told.reasons.most_common()),
    ]
    for name, count in rows:
        table.add_row(name, f"{count:,}")
    console(sys.stdout).print(table)


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days <= 3660:
        raise argparse.ArgumentTypeError(f"expected a number of days, got {text!r}")
    return days


def _refused(why: str) -> int:
    print(f"ztad replay: {why}", file=sys.stderr)
    return 2
