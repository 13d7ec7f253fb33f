"""Serves the no-op exactly as ``ztad serve`` serves the graph.

Run by ``ztad bench`` as ``python -m services.bench.noop_node --port N``, until terminated.
"""

from __future__ import annotations

import argparse
import sys

from services.bench import noop
from services.commands.serve import stop_signals
from services.node import Node, NodeSettings, StartError
from services.settings import load


def main() -> int:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(description="serve nothing, for comparison")
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    settings = NodeSettings(home=load().home, port=args.port)
    try:
        with Node(settings, lambda text: None, graph=noop.graph) as node:
            stopped = stop_signals()
            node.start({})
            stopped.wait()
    except StartError as error:
        print(f"no-op: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
