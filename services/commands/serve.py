"""``ztad serve``: the whole graph on this machine, until Ctrl-C or ``ztad stop``."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from services.commands.ports import port
from services.settings import Settings, SettingsError, load
from services.shared_history.address import where_of
from services.storage.postgres.address import checked

LOG = logging.getLogger("ztad.serve")

SUMMARY = "run the whole scoring graph on this machine"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("serve", help=SUMMARY, description=SUMMARY)
    parser.add_argument("--bundle", type=Path, help="a bundle or a version (default champion)")
    parser.add_argument("--port", type=port, default=8000, help="HTTP port (default 8000)")
    parser.add_argument("--host", help="address to listen on; needs keys unless it is loopback")
    parser.add_argument(
        "--auth", choices=("keys", "none"), help="default: keys as soon as there is one, else none"
    )
    parser.add_argument("--state-dir", type=Path, help="where the live history is kept")
    parser.add_argument(
        "--history", help="redis://HOST:PORT/DB: share the live history there, not in --state-dir"
    )
    parser.add_argument("--store-dir", type=Path, help="where verdicts and alerts are kept")
    parser.add_argument(
        "--database", help="keep verdicts and alerts in postgresql://user@host:port/name"
    )
    parser.add_argument(
        "--ack",
        choices=("fast", "durable"),
        default="fast",
        help="durable: answer once the verdict is on the disk (default fast)",
    )
    parser.add_argument(
        "--kafka", default="", metavar="HOST:PORT", help="read events from these brokers as well"
    )
    parser.add_argument(
        "--kafka-settings",
        type=Path,
        metavar="FILE",
        help="YAML: topics, group, formats, TLS, fuse",
    )
    parser.add_argument("--alert-rules", type=Path, help="YAML file: who is told of which alerts")
    parser.add_argument(
        "--requests-per-s", type=float, default=0.0, help="most requests per key (0: no limit)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 after an orderly stop, 2 when it cannot start."""
    from alerting.strict import RulesError
    from models.manifest import BundleError
    from services import logs
    from services.keys import KeysError
    from services.node import StartError
    from services.streaming.base import StreamError

    settings = load()
    try:
        with logs.gathered(settings) as form:
            _serve(args, settings, _say if form == "text" else LOG.info)
    except (KeysError, RulesError, StartError, BundleError, StreamError) as error:
        print(f"ztad serve: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


def _serve(args: argparse.Namespace, settings: Settings, say: Callable[[str], None]) -> None:
    from services.commands.admission import decide
    from services.node import Node, NodeSettings

    admission = decide(args.auth, args.host, settings)
    arguments = application_arguments(args, settings) | admission.arguments
    for note in admission.notes:
        say(note)
    node_settings = NodeSettings(home=settings.home, host=admission.host, port=args.port)
    with Node(node_settings, say) as node:
        stopped = stop_signals()
        started = time.monotonic()
        node.start(arguments)
        announce(node, args, arguments, time.monotonic() - started)
        stopped.wait()


def application_arguments(args: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """``AppArgs`` but whom to let in; raises BundleError, or FileNotFoundError without a model."""
    from ensemble.scorer import ensemble_of, load_bundle
    from services.commands.registering import local_bundle
    from services.telemetry import wanted

    bundle = load_bundle(local_bundle(args.bundle))
    ensemble_of(bundle)  # of another version: say so now, not from within a replica
    state = args.state_dir or settings.home / "state" / str(args.port)
    _check_rules(args.alert_rules)
    store = args.store_dir or settings.home / "store" / str(args.port)
    return {
        "bundle": str(bundle.path.resolve()),
        "models_dir": str((settings.home / "models").resolve()),
        "state_dir": str(state.resolve()),
        "history": _checked_history(args.history or settings.history),
        "recorder": {
            "store_dir": str(store.resolve()),
            "database": checked_database(args.database or settings.database),
            "alert_rules": str(args.alert_rules.resolve()) if args.alert_rules else None,
        },
        "stream": _checked_stream(args, settings),
        "requests_per_s": args.requests_per_s,
        "ack": args.ack,
        "tracing": wanted(),
    }


def _checked_stream(args: argparse.Namespace, settings: Settings) -> dict[str, Any] | None:
    """Raises :class:`SettingsError` and ``StreamError``: better now than from within a replica."""
    from services.streaming.opening import from_environment, open_broker

    stream = from_environment(settings, kafka=args.kafka, file=args.kafka_settings)
    if stream is None:
        return None
    open_broker(stream, settings)
    return stream.model_dump()


def _checked_history(address: str) -> str | None:
    """Raises :class:`SettingsError`: better now than from within a replica."""
    try:
        where_of(address) if address else None
    except ValueError as error:
        raise SettingsError(f"--history: {error}") from None
    return address or None


def checked_database(address: str) -> str | None:
    """Raises :class:`SettingsError`, without repeating what may hold a password."""
    try:
        return checked(address) if address else None
    except ValueError as error:
        raise SettingsError(f"--database: {error}") from None


def _check_rules(path: Path | None) -> None:
    """Raises ``alerting.rules.RulesError`` and OSError: better now than in a replica's log."""
    if path is not None:
        from alerting import rules

        rules.load(path.read_bytes())


def stop_signals() -> threading.Event:
    """An event that Ctrl-C and SIGTERM set; the first of them also interrupts what goes on, the
    others do not disturb the stopping."""
    stopped = threading.Event()

    def on_signal(signum: int, frame: FrameType | None) -> None:
        if not stopped.is_set():
            stopped.set()
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    return stopped


def announce(node: Any, args: argparse.Namespace, arguments: dict[str, Any], took_s: float) -> None:
    """Where things are."""
    keys = arguments["auth"] == "keys"
    who = f"API keys, {arguments['keys_file']}" if keys else "none: this machine only (loopback)"
    print(f"ready in {took_s:.1f} s, serving {arguments['bundle']}")
    print(f"  score events   POST {node.url}/v1/score, {node.url}/v1/score/batch")
    print(f"  API docs       {node.url}/docs")
    print(f"  metrics        {node.url}/metrics")
    print(f"  authentication {who}")
    print(f"  audit log      {arguments['audit_log']}")
    print(f"  live history   {arguments['history'] or arguments['state_dir']}")
    kept = arguments["recorder"]
    print(f"  verdicts       {kept['database'] or kept['store_dir']}")
    rules = kept["alert_rules"] or "none: alerts wait at /v1/alerts"
    print(f"  alert rules    {rules}")
    print("listening, as the system shows it:")
    for line in node.listening():
        print(f"  {line}")
    print("stop with Ctrl-C or 'ztad stop'", flush=True)


def _say(text: str) -> None:
    print(f"ztad: {text}", file=sys.stderr, flush=True)
