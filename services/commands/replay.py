"""``ztad replay``: what a bundle makes of past events. Nothing live hears of it."""

from __future__ import annotations

import argparse
import math
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import msgspec

from services.commands.comparing import document_of, show
from services.commands.findings import console
from services.commands.past import LATE_S, Past, Span, TopicPast, stored
from services.commands.rescoring import Told, Version, Versions, batches
from services.progress import through
from services.settings import load
from services.storage.errors import StoreError
from services.storage.postgres.address import checked, is_postgres

SUMMARY = "score past events again with any model version, and tell what differs"
DAY_S = 86400.0
HOUR_S = 3600.0
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
        "--store", nargs="?", const="", type=_where, metavar="WHERE",
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
    parser.add_argument(
        "--late", type=_hours, default=LATE_S / HOUR_S, metavar="HOURS",
        help="a topic is read until its events and messages are so much later than --to "
             f"(default {LATE_S / HOUR_S:.0f})",
    )  # fmt: skip
    parser.add_argument(
        "--out", metavar="FILE", help="verdicts as NDJSON, or CSV by suffix; - for stdout"
    )
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE",
        help="the report as JSON: into a file beside the plain one, or without FILE instead of it",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 whether or not anything differs; 2 for a span without events."""
    from services.streaming.base import StreamError

    span = Span(args.since, time.time() if args.until is None else args.until)
    if span.until_s <= span.since_s:
        ends = "now, and --from is later" if args.until is None else "not after --from"
        return _refused(f"--to is {ends}")
    if args.out == args.json == "-":
        return _refused("--out - and --json are both for stdout: give one of them a FILE")
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

    versions = Versions(args.bundle, args.against, past)
    told = Told()
    with ExitStack() as stack:
        # Before anything is scored: a place that cannot be written costs no replay.
        report = stack.enter_context(output(args.json)) if args.json else None
        writer = None
        if args.out is not None:
            stream = stack.enter_context(output(args.out))
            writer = verdict_writer(args.out, stream, versions.tried.detectors)
        advance = stack.enter_context(through("replaying", span.until_s))
        for batch in batches(past.events(versions.begin(span, args.warm_up * DAY_S))):
            scored = versions.score(batch, span)
            told.add(scored)
            if writer is not None:
                writer.write(scored)
            advance(len(batch), batch[-1].timestamp.timestamp())
        if not told.events:
            raise _nothing(span, past)
        if report is not None:
            document = _document(span, told, versions, past)
            report.write(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    if args.json != "-":
        _show(span, told, versions, past, sys.stderr if args.out == "-" else sys.stdout)
    return 0


def _past(args: argparse.Namespace, stack: ExitStack) -> Past:
    """Where events are read from; the store where nothing is said."""
    settings = load()
    if args.topic is None:
        from services.commands.store import default_store

        return stack.enter_context(stored(args.store or default_store(settings)))
    from services.streaming.opening import from_environment, open_broker, open_decode

    stream = from_environment(settings)
    if stream is None:
        raise StoreError("ZTAD_KAFKA", "is not set", "name the brokers: HOST:PORT")
    return TopicPast(
        open_broker(stream, settings),
        args.topic or stream.events,
        open_decode(stream, settings),
        late_s=args.late * HOUR_S,
    )


def _nothing(span: Span, past: Past) -> NothingThere:
    known = past.known()
    there = "" if known is None else f", but some {_spelt(known)}"
    return NothingThere(_spelt(span), f"there are no events{there}", "name another --from and --to")


def _spelt(span: Span) -> str:
    end = "on" if span.until_s == math.inf else f"to {_time(span.until_s)}"
    return f"from {_time(span.since_s)} {end}"


def _time(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _document(span: Span, told: Told, versions: Versions, past: Past) -> dict[str, Any]:
    """The report for machines."""
    compared = versions.compared
    return {
        "from": _time(span.since_s),
        "to": _time(span.until_s),
        "version": versions.names[1],
        "events": told.events,
        "repeated": told.repeated,
        "skipped": past.skipped,
        "alerts": told.severities.total(),
        "users": len(told.users),
        "severities": dict(told.severities.most_common()),
        "reasons": dict(told.reasons.most_common()),
        "histories": [
            {"version": name, "learned_before": each.learned, "begun_empty": each.forgot}
            for name, each in _scoring(versions)
        ],
        "against": versions.names[0] if compared else None,
        "without_recorded_verdict": versions.unrecorded,
        "difference": compared and document_of(compared),
    }


def _scoring(versions: Versions) -> list[tuple[str, Version]]:
    """The versions that score, the one that is compared with first, and what they are called."""
    return list(zip(versions.names[-len(versions.every) :], versions.every, strict=True))


def _show(span: Span, told: Told, versions: Versions, past: Past, stream: TextIO) -> None:
    say = partial(print, file=stream)
    console(stream).print(_verdicts(told, versions.names[1]))
    say(_spelt(span))
    for name, each in _scoring(versions):
        say(f"{name}: {_history(each)}")
    if told.repeated:
        say(f"events that came again, not counted: {told.repeated:,}")
    if past.skipped:
        say(f"messages read that are no events, passed over: {past.skipped:,}")
    if versions.unrecorded:
        say(f"events without a recorded verdict, not compared: {versions.unrecorded:,}")
    if versions.compared is not None and versions.compared.events:
        show(versions.compared, versions.names, stream)


def _history(version: Version) -> str:
    if not version.forgot:
        return f"began with the history in its bundle; later events learned: {version.learned:,}"
    return (
        "its training saw this span, so it began with an empty history; events before the span "
        f"learned: {version.learned:,}"
    )


def _verdicts(told: Told, version: str) -> Any:
    from rich.table import Table

    table = Table(title=f"what {version} says", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    rows = [
        ("events", told.events),
        ("alerts", told.severities.total()),
        ("users in them", len(told.users)),
        *((f"of severity {name}", count) for name, count in told.severities.most_common()),
        *((f"because of {code}", count) for code, count in told.reasons.most_common()),
    ]
    for name, count in rows:
        table.add_row(name, f"{count:,}")
    return table


def _where(text: str) -> str:
    try:
        return checked(text) if is_postgres(text) else text
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _days(text: str) -> float:
    return _number(text, "days", 3660)


def _hours(text: str) -> float:
    return _number(text, "hours", 3660 * 24)


def _number(text: str, what: str, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise argparse.ArgumentTypeError(f"expected 0 to {most:,} {what}, got {text!r}")
    return number


def _refused(why: str) -> int:
    print(f"ztad replay: {why}", file=sys.stderr)
    return 2
