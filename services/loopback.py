"""What Ray Serve would offer to every network although only this machine needs it."""

from __future__ import annotations

from typing import Any

ALL_ADDRESSES = "[::]:0"


def keep_calls_local() -> None:
    """Calls between deployments go over a port of each replica, which Serve opens on all
    interfaces. On one machine nobody else has a call to make: open it on the address that Ray
    tells the others, which is loopback (services/node.py).

    Run in each worker before its replica starts.
    """
    from ray.serve._private import replica
    from ray.util import get_node_ip_address

    module: Any = replica
    own_address: Any = get_node_ip_address
    add_port = module.add_port_to_grpc_server

    def on_loopback(server: Any, address: str) -> int:
        own = f"{own_address()}:0"
        port: int = add_port(server, own if address == ALL_ADDRESSES else address)
        return port

    module.add_port_to_grpc_server = on_loopback
