"""`ztad explain`: why events of a file got their verdicts, and what would have kept them quiet."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble.explain.methods import METHODS
from services.commands.inputs import Counts, add_input_options, read_events
from services.commands.registering import local_bundle
from services.commands.score import batches

if TYPE_CHECKING:
    from ensemble.explain.asked import Asked
    from ensemble.explain.explaining import Explaining
    from models.bundle import Bundle

SUMMARY = "tell why events got their verdicts, as an analyst reads it, offline"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("explain", help=SUMMARY, description=SUMMARY)
    parser.add_argument(
        "--bundle", type=Path, required=True,
        help="made by ztad train; or a registered version, or champion",
    )  # fmt: skip
    add_input_options(parser)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--id", action="append", default=[], help="an event; may be repeated")
    which.add_argument(
        "--alerts", type=int, default=0, metavar="N",
        help="N alerts: of every first reason in turn, one of each user",
    )  # fmt: skip
    parser.add_argument(
        "--method", action="append", choices=METHODS, help="may be repeated; default: all of them"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per event")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when everything asked for was explained, 1 when an event is not in the file."""
    from ensemble.explain.explaining import Explaining
    from ensemble.scorer import load_bundle

    bundle = load_bundle(local_bundle(args.bundle))
    wanted = frozenset(args.id)
    asked = [one for one in _scored(args, bundle) if _is_wanted(one, wanted)]
    explaining = Explaining(bundle)
    for one in asked if wanted else in_turn(asked, args.alerts):
        print(_told(args, explaining, one))
    missing = wanted - {one.verdict.event_id for one in asked}
    if missing:
        print(f"ztad explain: not among the events: {', '.join(sorted(missing))}", file=sys.stderr)
    return 1 if missing else 0


def in_turn(alerts: list[Asked], most: int) -> list[Asked]:
    """The most suspicious alert of every first reason, then the second of each, and so on; of each
    user the most suspicious one, as long as there are enough users."""
    ranked = sorted(alerts, key=lambda each: -each.verdict.score)
    users: set[str] = set()
    firsts: list[Asked] = []
    others: list[Asked] = []
    for one in ranked:
        (others if one.verdict.user_id in users else firsts).append(one)
        users.add(one.verdict.user_id)
    by_reason: dict[str, list[Asked]] = {}
    for one in firsts:
        by_reason.setdefault(one.verdict.reasons[0].code, []).append(one)
    turns = zip_longest(*by_reason.values())
    return [one for turn in turns for one in turn if one is not None][:most] + others[
        : max(0, most - len(firsts))
    ]


def _scored(args: argparse.Namespace, bundle: Bundle) -> Iterator[Asked]:
    from ensemble.explain.scoring import scored
    from ensemble.scorer import Scorer

    scorer, now_s = Scorer(bundle), time.time()
    for batch in batches(read_events(args, Counts(), doing="scoring")):
        yield from scored(scorer, batch, bundle.version, now_s)


def _is_wanted(one: Asked, wanted: frozenset[str]) -> bool:
    verdict = one.verdict
    if verdict.duplicate:
        return False
    return verdict.event_id in wanted if wanted else verdict.is_anomaly


def _told(args: argparse.Namespace, explaining: Explaining, one: Asked) -> str:
    import msgspec

    from ensemble.explain.wording import page

    explanations = {name: explaining.explain(name, one) for name in args.method or METHODS}
    if args.json:
        whole = {"verdict": one.verdict, "explanations": explanations}
        return msgspec.json.encode(whole).decode()
    return page(one, explanations)
