"""``ztad dlq``: the messages that could not be scored: look, send them once more, drop them."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from services.commands.replay import moment
from services.settings import load
from services.streaming.base import StreamError
from services.streaming.dead_letter import DeadLetter, DeadLetters, Reason

if TYPE_CHECKING:
    from rich.table import Table

SUMMARY = "see the messages that could not be scored, send them again or drop them"
MOST_LISTED = 50


class _NoSuchLetter(StreamError):
    """An id that no letter has."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its actions."""
    parser = subparsers.add_parser(
        "dlq", help=SUMMARY, description=f"{SUMMARY}. The brokers are those of ZTAD_KAFKA."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    shown = actions.add_parser("list", help="the latest first, and how many there are")
    shown.add_argument("--limit", type=int, default=MOST_LISTED, help=f"default {MOST_LISTED}")
    shown.add_argument("--json", action="store_true", help="one JSON object per letter")
    shown.set_defaults(run=_list)
    one = actions.add_parser("show", help="one of them with the bytes as they came")
    one.set_defaults(run=_show)
    again = actions.add_parser("retry", help="send the original to its topic once more")
    again.set_defaults(run=_retry)
    drop = actions.add_parser("drop", help="give them up for good")
    drop.add_argument("--yes", action="store_true", help="without it they are only counted")
    drop.set_defaults(run=_drop)
    one.add_argument("ids", metavar="ID", nargs=1, help="topic:partition:offset, as listed")
    for action in (again, drop):
        action.add_argument("ids", metavar="ID", nargs="*", help="topic:partition:offset")
        action.add_argument("--all", action="store_true", help="every one there is")
    for action in (shown, again, drop):
        action.add_argument("--reason", choices=get_args(Reason), help="those of this reason")
        action.add_argument("--since", type=moment, metavar="TIME", help="given up from then on")
    for action in (shown, one, again, drop):
        action.add_argument("--topic", metavar="NAME", help="default ztad.dead-letters")


def _list(args: argparse.Namespace) -> int:
    """Exit code 0, also when there are none."""

    def tell(found: list[DeadLetter], letters: DeadLetters) -> int:
        latest = found[: max(0, args.limit)]
        if args.json:
            for each in latest:
                document = {"id": each.id, **msgspec.to_builtins(each)}
                sys.stdout.buffer.write(msgspec.json.encode(document) + b"\n")
            return 0
        reasons = Counter(each.reason for each in found)
        told = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
        print(f"{len(found):,} dead letters" + (f": {told}" if told else ""))
        if latest:
            _console().print(_table(latest))
        return 0

    return _with_letters(args, tell)


def _show(args: argparse.Namespace) -> int:
    """Exit code 0 when there is such a letter."""

    def tell(found: list[DeadLetter], letters: DeadLetters) -> int:
        (one,) = found
        for name, value in _told(one):
            print(f"{name:<10} {value}")
        print(_readable(one))
        return 0

    return _with_letters(args, tell)


def _retry(args: argparse.Namespace) -> int:
    """Exit code 0 once the originals are in their topics."""

    def again(found: list[DeadLetter], letters: DeadLetters) -> int:
        letters.retry(found)
        print(f"{len(found):,} sent again; what still cannot be scored comes back as a new letter")
        return 0

    return _with_letters(args, again)


def _drop(args: argparse.Namespace) -> int:
    """Exit code 0 once they are gone; 2 where nobody said --yes."""

    def drop(found: list[DeadLetter], letters: DeadLetters) -> int:
        if not args.yes:
            return _refused(f"{len(found):,} would be gone for good: say --yes")
        letters.drop([each.id for each in found])
        print(f"{len(found):,} dropped")
        return 0

    return _with_letters(args, drop)


def _with_letters(
    args: argparse.Namespace, work: Callable[[list[DeadLetter], DeadLetters], int]
) -> int:
    """Do something with the letters that are meant, the latest first."""
    try:
        with closing(open_letters(args.topic)) as letters:
            return work(chosen(letters, args), letters)
    except (StreamError, ValueError) as error:
        return _refused(str(error))


def open_letters(topic: str | None) -> DeadLetters:
    """Those of the brokers that the environment names; raises ``StreamError``."""
    from services.streaming.opening import from_environment, open_dead_letters

    settings = load()
    stream = from_environment(settings)
    if stream is None:
        raise StreamError("ZTAD_KAFKA is not set: name the brokers, HOST:PORT")
    if topic:
        stream = stream.model_copy(update={"dead_letters": topic})
    return open_dead_letters(stream, settings)


def chosen(letters: DeadLetters, args: argparse.Namespace) -> list[DeadLetter]:
    """The letters that are meant, the latest first.

    Raises :class:`StreamError` for an id that is not there, and where nobody said which.
    """
    found = sorted(letters.letters(), key=lambda each: each.failed_at, reverse=True)
    ids = frozenset(getattr(args, "ids", ()))
    reason, since_s = getattr(args, "reason", None), getattr(args, "since", None)
    if args.action in ("retry", "drop") and not (ids or reason or since_s or args.all):
        raise StreamError("which ones? name IDs, --reason, --since or --all")
    missing = sorted(ids - {each.id for each in found})
    if missing:
        raise _NoSuchLetter(f"there is no letter {', '.join(missing)}: see 'ztad dlq list'")
    return [
        each
        for each in found
        if (not ids or each.id in ids)
        and (reason is None or each.reason == reason)
        and (since_s is None or each.failed_at.timestamp() >= since_s)
    ]


def _told(one: DeadLetter) -> list[tuple[str, str]]:
    return [
        ("id", one.id),
        ("reason", one.reason),
        ("field", one.field),
        ("message", one.message),
        ("event", one.event_id or "-"),
        ("key", _text(one.key)),
        ("produced", one.timestamp.isoformat(timespec="seconds")),
        ("given up", one.failed_at.isoformat(timespec="seconds")),
        ("retries", str(one.retries)),
        ("trace", one.traceparent or "-"),
        ("bytes", f"{one.value_bytes:,}"),
    ]


def _readable(one: DeadLetter) -> str:
    """The original: indented if it is JSON, else with what cannot be printed escaped."""
    if one.value is None:
        return "(too large to be kept here)" if one.value_bytes else "(no value)"
    try:
        return msgspec.json.format(one.value, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _text(one.value)


def _text(data: bytes | None) -> str:
    """Control characters of somebody else must not reach a terminal."""
    return "-" if data is None else ascii(data.decode("utf-8", "backslashreplace"))[1:-1]


def _table(letters: Sequence[DeadLetter]) -> Table:
    from rich.table import Table

    table = Table()
    for name in ("id", "given up (UTC)", "reason", "field", "message", "retries"):
        table.add_column(name, overflow="fold")
    for each in letters:
        at = each.failed_at.isoformat(sep=" ", timespec="seconds")[:19]
        message = _text(each.message.encode())
        table.add_row(each.id, at, each.reason, each.field, message, str(each.retries))
    return table


def _console() -> Any:
    from services.commands.findings import console

    return console(sys.stdout)


def _refused(why: str) -> int:
    print(f"ztad dlq: {why}", file=sys.stderr)
    return 2
