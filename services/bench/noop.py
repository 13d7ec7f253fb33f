"""The yardstick: an application that does nothing, started exactly like the graph.

Run by ``ztad bench`` as ``python -m services.bench.noop --port N``; it serves until terminated.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from services.commands.serve import stop_signals, wait
from services.http import Receive, Response, Scope, Send, read_body, respond
from services.node import Node, NodeSettings, StartError
from services.settings import load

ANSWER = Response(200, b'{"score":0.5,"is_anomaly":false}')


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the request, answer with a constant."""
    await read_body(scope, receive, most_bytes=1 << 24)
    await respond(send, ANSWER, "0" * 32)


def graph(arguments: dict[str, Any]) -> Any:
    """One deployment behind the same bare ASGI ingress as the Gateway."""
    from ray import serve

    from services.app import CORES

    options = {"ray_actor_options": {"num_cpus": CORES}, "max_ongoing_requests": 20_000}
    deployment: Any = serve.deployment(serve.ingress()(_Noop))
    return deployment.options(name="Noop", **options).bind()


class _Noop:
    def __serve_build_asgi_app__(self) -> Any:
        return answer


def main() -> int:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(description="serve nothing, for comparison")
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    settings = NodeSettings(home=load().home, port=args.port)
    try:
        with Node(settings, lambda text: None, graph=graph) as node:
            stopped = stop_signals()
            node.start({})
            wait(stopped, node)
    except StartError as error:
        print(f"no-op: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
