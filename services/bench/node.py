"""Serves as ``ztad serve`` does: the no-op, or a graph with arguments that the command has not.

Run by ``ztad bench`` as ``python -m services.bench.node --port N [--arguments FILE]``, until
terminated. The file holds ``AppArgs`` as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from services.bench import noop
from services.commands.serve import stop_signals
from services.node import Node, NodeSettings, StartError
from services.settings import load


def main() -> int:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(description="serve for a comparison")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--arguments", type=Path, help="of the graph; without it the no-op")
    args = parser.parse_args()
    arguments = json.loads(args.arguments.read_text()) if args.arguments else {}
    settings = NodeSettings(home=load().home, port=args.port)
    try:
        with Node(settings, lambda text: None, graph=None if arguments else noop.graph) as node:
            stopped = stop_signals()
            node.start(arguments)
            stopped.wait()
    except StartError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
