"""``ztad serve``: the whole graph on this machine, until Ctrl-C or ``ztad stop``."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from services.settings import Settings, load

SUMMARY = "run the whole scoring graph on this machine"


class Usage(ValueError):
    """The command cannot run like this; the message says what to do instead."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("serve", help=SUMMARY, description=SUMMARY)
    parser.add_argument("--bundle", type=Path, help="model bundle made by 'ztad train'")
    parser.add_argument("--port", type=int, default=8000, help="HTTP port (default 8000)")
    parser.add_argument("--host", help="address to listen on; needs keys unless it is loopback")
    parser.add_argument(
        "--auth", choices=("keys", "none"), help="default: keys if ZTAD_API_KEYS is set, else none"
    )
    parser.add_argument("--state-dir", type=Path, help="where the live history is kept")
    parser.add_argument(
        "--requests-per-s", type=float, default=0.0, help="most requests per key (0: no limit)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 after an orderly stop, 2 when it cannot start."""
    from models.manifest import BundleError
    from services.node import Node, NodeSettings, StartError

    settings = load()
    try:
        arguments, host = application_arguments(args, settings)
        node_settings = NodeSettings(home=settings.home, host=host, port=args.port)
        with Node(node_settings, _say) as node:
            stopped = stop_signals()
            started = time.monotonic()
            node.start(arguments)
            announce(node, args, arguments, time.monotonic() - started)
            wait(stopped, node)
    except (Usage, StartError, BundleError) as error:
        print(f"ztad serve: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


def application_arguments(
    args: argparse.Namespace, settings: Settings
) -> tuple[dict[str, Any], str]:
    """``AppArgs`` and the host to listen on; raises :class:`Usage` and BundleError."""
    from ensemble.scorer import ensemble_of, load_bundle
    from services.auth import key_hash
    from services.telemetry import wanted

    if args.bundle is None:
        raise Usage("no model yet: make one with 'ztad train' and pass it with --bundle")
    bundle = load_bundle(args.bundle)
    ensemble_of(bundle)  # of another version: say so now, not from within a replica
    keys = settings.api_keys if args.auth != "none" else ()
    if args.auth == "keys" and not keys:
        raise Usage("--auth keys needs ZTAD_API_KEYS, a comma-separated list of keys")
    host = args.host or ("0.0.0.0" if keys else "127.0.0.1")
    if not keys and host not in ("127.0.0.1", "localhost"):
        raise Usage(f"listening on {host} needs keys: set ZTAD_API_KEYS")
    state = args.state_dir or settings.home / "state" / str(args.port)
    return {
        "bundle": str(bundle.path.resolve()),
        "models_dir": str((settings.home / "models").resolve()),
        "state_dir": str(state.resolve()),
        "api_key_hashes": [key_hash(key.strip()) for key in keys],
        "requests_per_s": args.requests_per_s,
        "tracing": wanted(),
    }, host


def stop_signals() -> threading.Event:
    """An event that Ctrl-C and SIGTERM set. While starting they interrupt instead."""
    stopped = threading.Event()

    def on_signal(signum: int, frame: FrameType | None) -> None:
        stopped.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    return stopped


def announce(node: Any, args: argparse.Namespace, arguments: dict[str, Any], took_s: float) -> None:
    """Where things are."""
    who = "API keys" if arguments["api_key_hashes"] else "none: this machine only (loopback)"
    print(f"ready in {took_s:.1f} s, serving {args.bundle}")
    print(f"  score events   POST {node.url}/v1/score, {node.url}/v1/score/batch")
    print(f"  API docs       {node.url}/docs")
    print(f"  metrics        {node.url}/metrics")
    for name, port in node.ports.items():
        # HAProxy cannot be told to keep its own pages to this machine.
        host = "0.0.0.0" if name.startswith("haproxy") else "127.0.0.1"
        print(f"  {name:15s} {host}:{port}")
    print(f"  authentication {who}")
    print(f"  live history   {arguments['state_dir']}")
    print("stop with Ctrl-C or 'ztad stop'", flush=True)


def wait(stopped: threading.Event, node: Any) -> None:
    """Until somebody stops it; Ray replaces our signal handlers while it starts."""
    stop_signals_again = stop_signals()
    while not (stopped.is_set() or stop_signals_again.wait(1.0)):
        pass


def _say(text: str) -> None:
    print(f"ztad: {text}", file=sys.stderr, flush=True)
