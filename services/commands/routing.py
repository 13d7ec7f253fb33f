"""``ztad routing``: who answers in a running gateway, shown and changed."""

from __future__ import annotations

import argparse
import sys

import msgspec

from services.commands.live import (
    GatewayError,
    Live,
    Share,
    Watching,
    add_gateway_options,
    gateway_of,
    told,
)
from services.settings import load

SUMMARY = "show or change which model versions answer in a running gateway"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("routing", help=SUMMARY, description=SUMMARY)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    parser.set_defaults(run=_show, json=False)
    add_gateway_options(parser)
    show = actions.add_parser("show", help="which versions answer (what 'ztad routing' does)")
    show.add_argument("--json", action="store_true", help="as the gateway tells it")
    show.set_defaults(run=_show)
    what = "change which versions answer; a part that is not given is played by none"
    change = actions.add_parser(
        "set", help=what, description=f"{what}. The aliases of the registry stay as they are."
    )
    change.add_argument(
        "--champion", type=_share, required=True, metavar="VERSION[=PERCENT]",
        help="who answers the rest of the users",
    )  # fmt: skip
    change.add_argument(
        "--challenger", type=_share, metavar="VERSION[=PERCENT]",
        help="who answers a share of the users (default 0)",
    )  # fmt: skip
    change.add_argument("--shadow", metavar="VERSION", help="who is asked and answers nobody")
    change.set_defaults(run=_set)
    for one in (show, change):
        add_gateway_options(one, again=True)


def _show(args: argparse.Namespace) -> int:
    """Exit code 0 when the gateway told."""
    now = gateway_of(args, load().api_key).routing()
    if args.json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(now)) + b"\n")
        return 0
    print(told(now))
    if now.changed_at:
        print(f"revision {now.revision}, changed at {now.changed_at} by {now.changed_by}")
    return 0


def _set(args: argparse.Namespace) -> int:
    """Exit code 0 once the gateway has put it in force."""
    wanted = _wanted(args)
    print(told(gateway_of(args, load().api_key).change(wanted)))
    return 0


def _wanted(args: argparse.Namespace) -> Live:
    """The routing asked for; what is left of 100 % is the champion's."""
    champion, percent = args.champion
    challenger = None
    if args.challenger is not None:
        challenger = Share(args.challenger[0], args.challenger[1] or 0.0)
    rest = 100.0 - (challenger.weight if challenger else 0.0)
    if percent is not None and abs(percent - rest) > 1e-6:
        raise GatewayError(f"--champion {champion}={percent:g}: expected {rest:g}, to make 100 %")
    shadow = Watching(args.shadow) if args.shadow else None
    return Live(Share(champion, rest), challenger, shadow)


def _share(text: str) -> tuple[str, float | None]:
    version, equals, percent = text.partition("=")
    try:
        share = float(percent) if equals else None
    except ValueError:
        share = -1.0
    if not version or (share is not None and not 0.0 <= share <= 100.0):
        message = f"{text!r}: expected VERSION or VERSION=PERCENT, such as 2026-11-22.1=90"
        raise argparse.ArgumentTypeError(message)
    return version, share
