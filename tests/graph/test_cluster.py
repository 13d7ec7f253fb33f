"""The whole graph on a real Ray, over HTTP: what it answers, what it survives, what it leaves."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from ensemble.scorer import ensemble_of
from models.bundle import Bundle
from preprocessing.event import AuthEvent, encode_event
from services import runs
from services.app import deployment_name
from services.documents import OPENAPI
from services.node import check_port
from tests.graph.served import Served, body, until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(420)]

JSON = {"content-type": "application/json"}
NDJSON = {"content-type": "application/x-ndjson"}


@pytest.fixture
def client(graph: Served) -> Iterator[httpx.Client]:
    with graph.client() as client:
        yield client


@pytest.fixture(autouse=True)
def _whole_again(graph: Served) -> Iterator[None]:
    """A test may kill what it likes: the next one finds every stage at its place."""
    yield
    with graph.client() as client:
        until(lambda: _ready(client), within_s=90)


def _ready(client: httpx.Client) -> bool:
    return client.get("/readyz").status_code == 200


def test_ready_and_alive(client: httpx.Client) -> None:
    assert client.get("/readyz").json() == {"status": "ready"}
    assert client.get("/healthz").json() == {"status": "alive"}


def test_documents(client: httpx.Client) -> None:
    assert client.get("/openapi.json").content == OPENAPI
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "/v1/score/batch" in page.text


def test_one_event_from_verdict_to_explanation(client: httpx.Client, bundle: Bundle) -> None:
    answer = client.post("/v1/score", content=body(event_id="whole-way"), headers=JSON)
    verdict = answer.json()
    assert answer.status_code == 200
    assert set(verdict["detectors"]) == ensemble_of(bundle).counted
    assert verdict["model_version"] == bundle.version
    assert verdict["trace_id"] == answer.headers["x-trace-id"]
    until(lambda: client.get("/v1/events/whole-way").status_code == 200)
    assert client.get("/v1/events/whole-way").json() == verdict
    explained = client.get("/v1/events/whole-way/explanation")
    assert explained.status_code == 200, explained.text
    assert explained.json()["verdict"] == verdict
    assert explained.json()["explanation"]


def test_a_repeated_id_is_answered_with_its_first_verdict(client: httpx.Client) -> None:
    first = client.post("/v1/score", content=body(event_id="again"), headers=JSON).json()
    for content in (
        body(event_id="again"),
        body(event_id="again", country="KP", outcome="failure"),
    ):
        second = client.post("/v1/score", content=content, headers=JSON).json()
        assert second == {**first, "duplicate": True}


def test_a_real_day(client: httpx.Client, fresh_events: list[AuthEvent]) -> None:
    """In order and framed as sent, alerts with reasons among them."""
    lines = [encode_event(event) for event in fresh_events]
    answer = client.post("/v1/score/batch", content=b"\n".join(lines), headers=NDJSON)
    verdicts = [json.loads(line) for line in answer.content.splitlines()]
    assert [each["event_id"] for each in verdicts] == [event.event_id for event in fresh_events]
    alerts = [each for each in verdicts if each["is_anomaly"]]
    assert alerts
    assert all(each["reasons"] for each in alerts)
    again = client.post("/v1/score/batch", content=b"[" + b",".join(lines) + b"]", headers=JSON)
    assert [each["score"] for each in again.json()] == [each["score"] for each in verdicts]
    assert all(each["duplicate"] for each in again.json())


def test_an_empty_batch(client: httpx.Client) -> None:
    assert client.post("/v1/score/batch", content=b"[]", headers=JSON).json() == []
    answer = client.post("/v1/score/batch", content=b"", headers=NDJSON)
    assert (answer.status_code, answer.content) == (200, b"")


def test_models(client: httpx.Client, bundle: Bundle) -> None:
    champion = client.get("/v1/models").json()["variants"]["champion"]
    assert champion["version"] == bundle.version
    assert champion["detectors"] == list(bundle.detectors)


def test_metrics(client: httpx.Client) -> None:
    def scored() -> float:
        text = client.get("/metrics").text
        found = re.search(r'ztad_requests_total\{route="/v1/score",status="200"\} (\S+)', text)
        return float(found.group(1)) if found else 0.0

    before = scored()
    client.post("/v1/score", content=body(), headers=JSON)
    assert scored() == before + 1
    assert "ztad_stage_seconds_bucket" in client.get("/metrics").text


#: Libraries for training; none of them belongs into a process that scores.
HEAVY = re.compile(
    r"/site-packages/(tensorflow|sklearn|pandas|keras|scipy|pyarrow|onnx|sqlalchemy)/"
)


def test_no_scoring_process_loads_training_libraries(graph: Served, bundle: Bundle) -> None:
    detectors = [deployment_name(name) for name in bundle.detectors]
    for deployment in ["Gateway", "Preprocessor", "Combiner", "Recorder", *detectors]:
        process = graph.replica(deployment)
        assert process is not None
        maps = Path(f"/proc/{process.pid}/maps").read_text()
        # The Recorder brings its tables up to date with Alembic, and scores nothing.
        allowed = {"sqlalchemy"} if deployment == "Recorder" else set()
        assert sorted(set(HEAVY.findall(maps)) - allowed) == [], deployment


def test_a_killed_detector_degrades_and_comes_back(
    graph: Served, client: httpx.Client, bundle: Bundle
) -> None:
    gone = min(ensemble_of(bundle).counted)
    with Load(graph) as load:
        kill(graph, deployment_name(gone))
        until(lambda: load.degraded > 0)
        until(lambda: _ready(client), within_s=90)
        until(lambda: not client.post("/v1/score", content=body(), headers=JSON).json()["degraded"])
    assert load.statuses == {200}
    assert load.missing == {gone}


@pytest.mark.parametrize("stage", ["Preprocessor", "Combiner", "Gateway"])
def test_a_killed_stage_is_never_a_500(graph: Served, client: httpx.Client, stage: str) -> None:
    with Load(graph) as load:
        kill(graph, stage)
        until(lambda: _ready(client), within_s=90)
        answered = load.answered
        until(lambda: load.answered > answered)
    assert load.statuses <= {200, 503}
    assert load.without_retry_after == 0
    # A gateway takes the connections that it holds with it; each caller may see that once.
    assert load.dropped <= (2 if stage == "Gateway" else 0)


def test_a_killed_recorder_is_not_missed(graph: Served, client: httpx.Client) -> None:
    with Load(graph) as load:
        kill(graph, "Recorder")
        until(lambda: graph.replica("Recorder") is not None, within_s=90)
    assert load.statuses == {200}
    client.post("/v1/score", content=body(event_id="afterwards"), headers=JSON)
    until(lambda: client.get("/v1/events/afterwards").status_code == 200, within_s=60)


def kill(graph: Served, deployment: str) -> None:
    """SIGKILL, and gone for good when this returns."""
    process = graph.replica(deployment)
    assert process is not None
    process.kill()
    psutil.wait_procs([process], timeout=30)


class Load:
    """Two callers that score fresh events one after the other while the context lasts."""

    def __init__(self, graph: Served) -> None:
        self.statuses: set[int] = set()
        self.missing: set[str] = set()
        self.degraded = self.answered = self.dropped = self.without_retry_after = 0
        self._graph = graph
        self._ended = threading.Event()
        self._failed: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(2)]
        with graph.client() as client:
            answer = client.post("/v1/score", content=body(), headers=JSON)
            self._whole = frozenset(answer.json()["detectors"])

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        until(lambda: self.answered > 0 or bool(self._failed))
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        assert self._failed == []

    def _run(self) -> None:
        try:
            with self._graph.client() as client:
                while not self._ended.is_set():
                    self._score(client)
        except Exception as error:  # noqa: BLE001 - seen by the test
            self._failed.append(error)

    def _score(self, client: httpx.Client) -> None:
        try:
            self._note(client.post("/v1/score", content=body(), headers=JSON))
        except httpx.TransportError:
            self.dropped += 1

    def _note(self, answer: httpx.Response) -> None:
        self.statuses.add(answer.status_code)
        self.answered += 1
        if answer.status_code == 200:
            verdict = answer.json()
            self.degraded += verdict["degraded"]
            self.missing |= self._whole - set(verdict["detectors"])
        elif "retry-after" not in answer.headers:
            self.without_retry_after += 1


def test_a_second_graph_beside_it(graph: Served, bundle: Bundle, home: Path) -> None:
    """Killed without a chance to clean up, started again at once, stopped: the first one, which
    is another Ray and another HAProxy to it, never notices."""
    first = {process.pid for process in runs.processes(graph.run())}
    with Served(bundle.path, home / "b") as second:
        second.start()
        _scores(second)
        orphaned = second.run()
        second.kill_supervisor()

        second.start()
        assert runs.processes(orphaned) == []
        assert not Path(orphaned.folder).exists()
        _scores(second)
        ended = second.run()
        assert "stopped" in second.stop()
        assert runs.processes(ended) == []
        assert list(runs.recorded(second.home)) == []
        assert not Path(ended.folder).exists()
        check_port("127.0.0.1", second.port)
    assert {process.pid for process in runs.processes(graph.run())} >= first
    _scores(graph)


def _scores(graph: Served) -> None:
    with graph.client() as client:
        answer = client.post("/v1/score", content=body(), headers=JSON)
        assert (answer.status_code, answer.json()["degraded"]) == (200, False)


def test_a_taken_port_is_told_at_once(graph: Served, bundle: Bundle, home: Path) -> None:
    other = Served(bundle.path, home / "c")
    other.port = graph.port
    with pytest.raises(AssertionError, match="choose another --port"):
        other.start()
    assert list(runs.recorded(other.home)) == []
