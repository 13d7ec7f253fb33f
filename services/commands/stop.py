"""``ztad stop``: end what ``ztad serve`` started on this machine, and nothing else."""

from __future__ import annotations

import argparse

from services import runs
from services.commands.ports import port
from services.settings import load

SUMMARY = "stop what 'ztad serve' started"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("stop", help=SUMMARY, description=SUMMARY)
    parser.add_argument("--port", type=port, help="only the one on this port (default: all)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 also when nothing runs: then there is nothing to stop."""
    home = load().home
    found = [run for run in runs.recorded(home) if args.port in (None, run.port)]
    for each in found:
        killed = runs.stop(home, each)
        note = f", {killed} leftover processes killed" if killed else ""
        print(f"stopped ztad on port {each.port}{note}")
    if not found:
        print("nothing to stop")
    return 0
