"""``ztad stream``: topics, how the workers that read them are, and going on after the fuse."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from services.commands.live import add_gateway_options, gateway_of
from services.settings import SettingsError, load
from services.streaming.counts import State

SUMMARY = "make the topics, see how the stream workers are, go on after the fuse has blown"


class _Consumers(msgspec.Struct, frozen=True):
    consumers: list[State]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("stream", help=SUMMARY, description=SUMMARY)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    topics = actions.add_parser("topics", help="make the topics that are missing")
    topics.add_argument("--kafka", default="", metavar="HOST:PORT", help="the brokers")
    topics.add_argument(
        "--kafka-settings", type=Path, metavar="FILE", help="YAML: names, partitions, TLS"
    )
    topics.set_defaults(run=_topics)
    status = actions.add_parser("status", help="how the workers of a running gateway are")
    status.add_argument("--json", action="store_true", help="as the gateway tells it")
    status.set_defaults(run=_status, method="GET", path="")
    resume = actions.add_parser("resume", help="close the fuse: the workers go on")
    resume.set_defaults(run=_status, method="POST", path="/resume", json=False)
    for one in (status, resume):
        add_gateway_options(one)


def _topics(args: argparse.Namespace) -> int:
    from services.streaming.opening import from_environment, open_broker

    settings = load()
    stream = from_environment(settings, kafka=args.kafka, file=args.kafka_settings)
    if stream is None:
        raise SettingsError("expected --kafka HOST:PORT, or ZTAD_KAFKA")
    broker = open_broker(stream, settings)
    made = broker.ensure(stream.topics)
    for topic in stream.topics:
        count = broker.partitions(topic.name)
        what = "made" if topic.name in made else "was there"
        print(f"{topic.name}: {what}, {count} {'partition' if count == 1 else 'partitions'}")
    return 0


def _status(args: argparse.Namespace) -> int:
    """Exit code 1 when a worker has stopped or waits."""
    answer = gateway_of(args, load().api_key).consumers(args.method, args.path)
    if args.json:
        sys.stdout.buffer.write(msgspec.json.format(answer) + b"\n")
        return 0
    consumers = msgspec.json.decode(answer, type=_Consumers).consumers
    for state in consumers:
        print(_line(state))
    if not consumers:
        print("no worker answers: see 'ztad doctor' and the log")
    return int(not consumers or any(each.fused or each.trouble for each in consumers))


def _line(state: State) -> str:
    lag = ", ".join(f"{at} {count:,}" for at, count in sorted(state.lag.items())) or "none known"
    if state.fused:
        how = f"stopped by its fuse: {state.fused}; 'ztad stream resume' goes on"
    elif state.trouble:
        how = f"waits: {state.trouble}"
    else:
        how = "paused while stages catch up" if state.paused else "works"
    return f"{state.worker}: {how}; {state.consumed:,} messages read; lag: {lag}"
