"""``ztad feedback``: tell a running gateway what an event was, or get what was told."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from services.commands.live import Gateway, GatewayError, add_gateway_options, gateway_of
from services.settings import load

SUMMARY = "say what an event was (compromised, safe, benign_true), or list what was said"
T = TypeVar("T")

DISPOSITIONS = ("compromised", "safe", "benign_true")
#: Words that a page of ``/v1/feedback`` holds at most.
_PAGE = 1000


class _Said(msgspec.Struct, frozen=True):
    """One document of ``/v1/feedback``."""

    id: str
    event_id: str
    user_id: str
    disposition: str
    at: str
    by: str
    comment: str = ""
    applied: bool = True


class _Page(msgspec.Struct, frozen=True):
    feedback: list[_Said]
    next: str | None = None


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("feedback", help=SUMMARY, description=SUMMARY)
    parser.add_argument("event_id", nargs="?", metavar="EVENT_ID", help="with --list: only of it")
    parser.add_argument("disposition", nargs="?", choices=DISPOSITIONS, help="what it was")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--undo", action="store_true", help="take back what was said of the event")
    what.add_argument("--list", action="store_true", help="what was said, newest first")
    what.add_argument(
        "--labels", type=Path, metavar="OUT",
        help="write the last word on each event as labels, for ztad train and evaluate",
    )  # fmt: skip
    parser.add_argument("--user", help="with --list: only of this user's events")
    parser.add_argument("--comment", default="", help="why, for whoever reads it later")
    add_gateway_options(parser)
    parser.set_defaults(run=run, usage=parser.error)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when it is on record, 2 when it cannot be."""
    gateway = gateway_of(args, load().api_key)
    if args.list:
        return _list(gateway, args)
    if args.labels:
        return _write_labels(gateway, args.labels)
    if not args.event_id or bool(args.disposition) == args.undo:
        args.usage("expected EVENT_ID with a disposition or --undo, or --list, or --labels OUT")
    given = {
        "event_id": args.event_id,
        "disposition": args.disposition or "undo",
        "comment": args.comment,
    }
    answer = gateway.feedback("POST", document=msgspec.json.encode(given))
    said = _decoded(answer, _Said)
    print(_told(said) + ("" if said.applied else " (the history has not heard it yet)"))
    return 0


def _list(gateway: Gateway, args: argparse.Namespace) -> int:
    asked = {"event": args.event_id, "user": args.user}
    given = {name: value for name, value in asked.items() if value}
    answer = gateway.feedback("GET", f"?{urlencode(given)}" if given else "")
    for said in _decoded(answer, _Page).feedback:
        print(_told(said))
    return 0


def _write_labels(gateway: Gateway, out: Path) -> int:
    words = _last_words(_all(gateway))
    with out.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("event_id", "is_anomaly", "anomaly_type"))
        for event_id, disposition in words.items():
            anomalous = disposition == "compromised"
            rows.writerow((event_id, int(anomalous), disposition if anomalous else ""))
    found = sum(disposition == "compromised" for disposition in words.values())
    print(f"{out}: {len(words):,} events, {found:,} of them compromised")
    return 0


def _all(gateway: Gateway) -> Iterator[_Said]:
    """Every word that was said, newest first."""
    after: str | None = ""
    while after is not None:
        query = f"?limit={_PAGE}" + (f"&after={after}" if after else "")
        page = _decoded(gateway.feedback("GET", query), _Page)
        yield from page.feedback
        after = page.next


def _last_words(said: Iterable[_Said]) -> dict[str, str]:
    """The disposition that holds of each event, oldest event first; none of what was undone."""
    last: dict[str, str] = {}
    for one in said:
        last.setdefault(one.event_id, one.disposition)
    return {event: word for event, word in reversed(last.items()) if word != "undo"}


def _decoded(answer: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer, type=kind)
    except msgspec.DecodeError:
        raise GatewayError("what answers there is no gateway of ours") from None


def _told(said: _Said) -> str:
    comment = f": {said.comment}" if said.comment else ""
    return f"{said.at} {said.id} {said.event_id} {said.disposition} by {said.by}{comment}"
