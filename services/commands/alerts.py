"""``ztad alerts``: check a rules file, try a channel, try rules on past events."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from services.commands.replaying import SUMMARY as REPLAY
from services.commands.replaying import add_options, replayed

if TYPE_CHECKING:
    from alerting.rules import Rules

SUMMARY = "check alert rules and try their channels"
BAD_RULES = 2


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("alerts", help=SUMMARY, description=SUMMARY)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    checking = actions.add_parser("check", help="say what is wrong with a rules file")
    checking.set_defaults(run=run, act=_check)
    testing = actions.add_parser("test", help="send an invented alert, marked as a test")
    testing.add_argument("channel", metavar="CHANNEL", help="a name under channels")
    testing.set_defaults(run=run, act=_test)
    replaying = actions.add_parser("replay", help=REPLAY)
    add_options(replaying)
    replaying.set_defaults(run=run, act=replayed)
    for action in (checking, testing, replaying):
        action.add_argument("--rules", type=Path, required=True, metavar="FILE",
                            help="the rules file (YAML; see docs/alerting.md)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Exit code 0 if all is well, 1 if a channel took no message, 2 for rules that are wrong."""
    from alerting.rules import load
    from alerting.strict import RulesError

    try:
        rules = load(args.rules.read_bytes())
    except RulesError as error:
        for problem in error.problems:
            print(f"{args.rules}: {problem}", file=sys.stderr)
        return BAD_RULES
    return int(args.act(args, rules))


def _check(args: argparse.Namespace, rules: Rules) -> int:
    channels = ", ".join(rules.channels) or "none"
    print(f"{args.rules}: good; channels: {channels}; routes: {len(rules.routes)}")
    if not rules.otherwise and all(route.when.model_fields_set for route in rules.routes):
        print("note: alerts that no route takes are kept and sent nowhere (otherwise: is empty)")
    return 0


def _test(args: argparse.Namespace, rules: Rules) -> int:
    from alerting.strict import unknown

    if args.channel not in rules.channels:
        told = unknown(args.channel, list(rules.channels))
        print(f"{args.rules}: channels: {told}", file=sys.stderr)
        return BAD_RULES
    problem = asyncio.run(_sent(args.channel, rules))
    print(f"{args.channel}: {problem or 'the test alert was taken'}")
    return 1 if problem else 0


async def _sent(channel: str, rules: Rules) -> str:
    """Why the channel did not take an invented alert, empty if it did."""
    from alerting.message import sample_message
    from alerting.notifiers import make
    from alerting.notifiers.attempt import attempt
    from alerting.notifiers.base import Rejected, Retryable
    from alerting.secret import Secrets

    notifier = make(channel, rules.channels[channel], Secrets(os.environ))
    now_s = time.time()
    message = sample_message(f"test-{int(now_s)}", now_s, link=rules.link or "")
    try:
        await attempt(notifier, message)
    except Retryable as why:
        return f"not sent, a real alert would be tried again: {why}"
    except Rejected as why:
        return f"not sent, a real alert would be recorded as failed: {why}"
    finally:
        await notifier.close()
    return ""
