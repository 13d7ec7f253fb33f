"""The yardstick: an application that does nothing behind the ingress that the graph has."""

from __future__ import annotations

from typing import Any

from services.http import Receive, Response, Scope, Send, read_body, respond

ANSWER = Response(200, b'{"score":0.5,"is_anomaly":false}')


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the request, answer with a constant."""
    if scope["type"] == "lifespan":
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        return
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
