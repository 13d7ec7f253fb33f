"""What a served graph lets in and what it offers to the network, on a real Ray and over sockets."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.listening import listeners
from tests.graph.served import ROOT, Served

#: None of them has types.
grpc: Any = import_module("grpc")
serve_pb2: Any = import_module("ray.serve.generated.serve_pb2")
serve_pb2_grpc: Any = import_module("ray.serve.generated.serve_pb2_grpc")

pytestmark = [pytest.mark.ray, pytest.mark.timeout(420)]

#: Asks a cluster as anybody on this machine could, who knows where it is.
INTRUDER = """
import sys
from ray._raylet import GcsClient
try:
    print("told of nodes:", len(GcsClient(sys.argv[1]).get_all_node_info(timeout=20)))
except Exception as error:
    print("refused:", error)
"""


def listening(process: psutil.Process) -> list[int]:
    found = process.net_connections(kind="tcp")
    return [each.laddr.port for each in found if each.status == psutil.CONN_LISTEN]


def test_nothing_is_offered_to_other_machines(graph: Served) -> None:
    """Served without keys: neither by us, nor by Ray, nor by HAProxy."""
    found = listeners(graph.run())
    assert {each.process for each in found} >= {"HAProxy", "Gateway", "Ray cluster store"}
    assert [str(each) for each in found if each.reachable] == []
    assert "<- other machines" not in graph.output()
    for each in found:
        if each.process in ("HAProxy", "Gateway", "Combiner"):
            assert str(each) in graph.output()


def test_a_peer_that_haproxy_tells_of_is_refused_and_audited(graph: Served) -> None:
    """As a proxy on this machine would pass on somebody else's request."""
    with graph.client() as client:
        answer = client.get("/v1/models", headers={"x-forwarded-for": "192.0.2.99"})
    assert answer.status_code == 403
    lines = (graph.home / "audit.log").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    (line,) = [line for line in told if line["address"] == "192.0.2.99"]
    assert (line["what"], line["status"]) == ("other_machine", 403)
    assert line["trace_id"] == answer.headers["x-trace-id"]


def test_the_token_is_ours_alone(graph: Served) -> None:
    token = Path(graph.run().folder) / "token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert token.stat().st_uid == os.geteuid()


def test_ray_refuses_who_has_no_token(graph: Served) -> None:
    store = next(each for each in listeners(graph.run()) if each.process == "Ray cluster store")
    said = {
        token: subprocess.run(
            [sys.executable, "-c", INTRUDER, str(store)],
            cwd=ROOT, env=environment(token), capture_output=True, text=True, timeout=120,
            check=False,
        ).stdout
        for token in ("0" * 64, (Path(graph.run().folder) / "token").read_text())
    }  # fmt: skip
    without, with_token = said.values()
    assert without.startswith("refused:"), without
    assert "token" in without
    assert with_token == "told of nodes: 1\n"


def environment(token: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**kept, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}


def test_replicas_refuse_calls_without_the_token(graph: Served) -> None:
    """Calls between deployments are pickled: whoever is let in there may run anything."""
    combiner = graph.replica("Combiner")
    assert combiner is not None
    refused = 0
    for port in listening(combiner):
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = serve_pb2_grpc.ASGIServiceStub(channel)
            with pytest.raises(grpc.RpcError) as error:
                stub.HandleRequest(serve_pb2.ASGIRequest(), timeout=20)
            refused += error.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert refused >= 1
