"""Several versions in one graph: who judges whom, changed live, and what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from ensemble.scorer import Scorer, ensemble_of
from models.bundle import Bundle, copy_bundle
from preprocessing.event import AuthEvent, encode_event
from preprocessing.features import Windows
from services import book
from services.local import local_gateway
from services.recorder import Recorder, RecorderArgs
from services.routing import Live, Routing
from services.versions import load_version
from tests.conftest import NOW_S
from tests.graph.local import client_of, with_graph
from tests.graph.served import until_awaited
from tests.unit.services.copies import copied

JSON = {"content-type": "application/json"}
NDJSON = {"content-type": "application/x-ndjson"}
FIRST = "2026-11-22.1"


@pytest.fixture(scope="module")
def models(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of versions: the same model strict, with other windows, and one of one detector."""
    folder = tmp_path_factory.mktemp("models")
    copied(bundle, folder / "strict", "strict", threshold=0.5)
    copied(bundle, folder / "windows", "windows", windows=Windows(failures="1h"))
    copied(bundle, folder / "one", "one", detectors=("isolation_forest",))
    copied(bundle, folder / "future", "future", windows=Windows(failures="6h"))
    damaged = copied(bundle, folder / "damaged", "damaged") / "ensemble.json"
    damaged.write_bytes(damaged.read_bytes() + b" ")
    return folder


def routed(champion: float, version: str | None = None, shadow: str | None = None) -> bytes:
    """A routing document: the first version, a challenger for the rest, and a shadow."""
    challenger = {"version": version, "weight": 100 - champion} if version else None
    return json.dumps(
        {
            "champion": {"version": FIRST, "weight": champion},
            "challenger": challenger,
            "shadow": {"version": shadow} if shadow else None,
        }
    ).encode()


async def route(client: httpx.AsyncClient, document: bytes) -> dict[str, Any]:
    answer = await client.put("/v1/routing", content=document, headers=JSON)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def scored(client: httpx.AsyncClient, events: Sequence[AuthEvent]) -> list[dict[str, Any]]:
    body = b"\n".join(encode_event(event) for event in events)
    answer = await client.post("/v1/score/batch", content=body, headers=NDJSON)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.content.splitlines()]


def test_every_user_is_judged_by_their_version(
    bundle: Bundle, models: Path, fresh_events: list[AuthEvent]
) -> None:
    async def talk(client: httpx.AsyncClient) -> list[dict[str, Any]]:
        told = await route(client, routed(50, "strict"))
        assert (told["revision"], told["challenger"]["weight"]) == (1, 50.0)
        return await scored(client, fresh_events)

    verdicts = with_graph(bundle, talk, models_dir=models)
    routing = Routing((Live("champion", FIRST, "", 50), Live("challenger", "strict", "", 50)))
    _, challenged = routing.assign([event.user_id for event in fresh_events])
    assert 0.2 < len(challenged) / len(verdicts) < 0.8
    for row, verdict in enumerate(verdicts):
        expected = ("challenger", "strict") if row in set(challenged) else ("champion", FIRST)
        assert (verdict["variant"], verdict["model_version"]) == expected
        assert verdict["event_id"] == fresh_events[row].event_id
        assert verdict["threshold"] == (
            0.5 if expected[0] == "challenger" else ensemble_of(bundle).threshold
        )


@pytest.mark.parametrize("version", ["windows", "one", "strict"])
def test_a_new_champion_answers_as_if_it_were_alone(
    bundle: Bundle, models: Path, fresh_events: list[AuthEvent], version: str
) -> None:
    async def talk(client: httpx.AsyncClient) -> list[dict[str, Any]]:
        await route(client, routed(0, version))
        return await scored(client, fresh_events[:300])

    scorer = Scorer(load_version(version, str(models / version)))
    expected = [
        msgspec.to_builtins(msgspec.structs.replace(verdict, variant="challenger"))
        for verdict in scorer.score(fresh_events[:300], now_s=NOW_S)
    ]
    found = [{**verdict, "trace_id": ""} for verdict in with_graph(bundle, talk, models_dir=models)]
    assert found == msgspec.json.decode(msgspec.json.encode(expected))


def test_windows_matter(bundle: Bundle, models: Path, fresh_events: list[AuthEvent]) -> None:
    """Or the test above would show nothing of them."""
    scores = [
        [verdict.score for verdict in Scorer(each).score(fresh_events, now_s=NOW_S)]
        for each in (bundle, load_version("windows", str(models / "windows")))
    ]
    assert scores[0] != scores[1]


def test_a_shadow_changes_no_answer_and_is_counted(
    bundle: Bundle, models: Path, fresh_events: list[AuthEvent]
) -> None:
    async def talk(client: httpx.AsyncClient) -> list[dict[str, Any]]:
        await route(client, routed(100, shadow="strict"))
        answers = await scored(client, fresh_events[:200])

        async def judged() -> bool:
            watched = (await client.get("/v1/models")).json()["variants"]["shadow"]
            return bool(watched["since_start"]["events"] == 200)

        await until_awaited(judged)
        metrics = (await client.get("/metrics")).text
        assert 'ztad_shadow_events_total{outcome="judged"} 200.0' in metrics
        counted = 'ztad_variant_events_total{outcome="%s",variant="shadow",version="strict"}'
        assert counted % "alert" in metrics
        assert counted % "ordinary" in metrics
        assert 'ztad_routing_weight{variant="shadow",version="strict"} 0.0' in metrics
        return answers

    async def alone(client: httpx.AsyncClient) -> list[dict[str, Any]]:
        return await scored(client, fresh_events[:200])

    watched, plain = (
        with_graph(bundle, talk, models_dir=models),
        with_graph(bundle, alone, models_dir=models),
    )
    assert [{**verdict, "trace_id": ""} for verdict in watched] == [
        {**verdict, "trace_id": ""} for verdict in plain
    ]


def test_changed_under_way_no_answer_is_lost_or_mislabelled(
    bundle: Bundle, models: Path, fresh_events: list[AuthEvent]
) -> None:
    documents = [routed(100), routed(50, "strict"), routed(0, "strict"), routed(100, shadow="one")]

    async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
        async def changing() -> None:
            for _ in range(3):
                for document in documents:
                    await route(client, document)

        async def scoring(events: Sequence[AuthEvent]) -> list[httpx.Response]:
            return [
                await client.post("/v1/score", content=encode_event(event), headers=JSON)
                for event in events
            ]

        shares = [fresh_events[start::4] for start in range(4)]
        changes = asyncio.create_task(changing())
        answers = await asyncio.gather(*(scoring(share) for share in shares))
        await changes
        return [answer for share in answers for answer in share]

    answers = with_graph(bundle, talk, models_dir=models)
    assert {answer.status_code for answer in answers} == {200}
    versions = {"champion": FIRST, "challenger": "strict"}
    thresholds = {"champion": ensemble_of(bundle).threshold, "challenger": 0.5}
    for answer in answers:
        verdict = answer.json()
        assert verdict["model_version"] == versions[verdict["variant"]]
        assert verdict["threshold"] == thresholds[verdict["variant"]]
        assert not verdict["degraded"]


def test_going_back_once_the_folder_of_the_start_holds_another_champion(
    bundle: Bundle, models: Path, tmp_path: Path, fresh_events: list[AuthEvent]
) -> None:
    strict = Bundle.load(models / "strict")
    fetched = tmp_path / "models"
    copy_bundle(strict, fetched / "strict")
    copy_bundle(bundle, fetched / FIRST)
    start = copy_bundle(bundle, tmp_path / "champion")

    async def talk(client: httpx.AsyncClient) -> list[dict[str, Any]]:
        await route(client, json.dumps({"champion": {"version": "strict", "weight": 100}}).encode())
        copy_bundle(strict, start.path)
        await route(client, routed(100))
        return await scored(client, fresh_events[:20])

    answers = with_graph(start, talk, models_dir=fetched)
    assert {answer["model_version"] for answer in answers} == {FIRST}


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("absent", "is not here"),
        ("damaged", "was changed after training"),
        ("future", "expected one that the history keeps"),
    ],
)
def test_what_cannot_be_served_is_refused(
    bundle: Bundle, models: Path, version: str, told: str
) -> None:
    async def talk(client: httpx.AsyncClient) -> None:
        answer = await client.put("/v1/routing", content=routed(50, version), headers=JSON)
        assert answer.status_code == 422
        assert answer.json()["error"]["field"] == "challenger.version"
        assert told in answer.json()["error"]["message"]
        assert (await client.get("/v1/routing")).json()["revision"] == 0

    with_graph(bundle, talk, models_dir=models)


def test_a_detector_without_a_deployment_is_refused(bundle: Bundle, models: Path) -> None:
    lean = load_version("one", str(models / "one"))

    async def talk(client: httpx.AsyncClient) -> httpx.Response:
        whole = {"champion": {"version": "strict", "weight": 100}}
        return await client.put("/v1/routing", json=whole)

    answer = with_graph(lean, talk, models_dir=models)
    assert answer.status_code == 422
    assert "no deployment runs" in answer.json()["error"]["message"]


def test_somebody_else_was_faster(bundle: Bundle, models: Path) -> None:
    async def talk(client: httpx.AsyncClient) -> None:
        whole = {"champion": {"version": "strict", "weight": 100}, "revision": 0}
        assert (await client.put("/v1/routing", json=whole)).status_code == 200
        assert (await client.put("/v1/routing", json=whole)).status_code == 409
        text = await client.put("/v1/routing", content=b"{}", headers={"content-type": "text/x"})
        assert text.status_code == 415

    with_graph(bundle, talk, models_dir=models)


def test_what_is_on_record_is_followed(
    bundle: Bundle, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another gateway of the same graph, and this one after it was replaced."""
    monkeypatch.setattr(book, "FOLLOW_S", 0.01)

    async def run() -> None:
        recorder = Recorder(RecorderArgs())
        first = local_gateway(bundle, models_dir=models, recorder=recorder)
        first.start()
        second = local_gateway(bundle, models_dir=models, recorder=recorder)
        second.start()
        async with client_of(first) as one, client_of(second) as other:
            told = await route(one, routed(0, "strict", shadow="one"))

            async def followed() -> bool:
                return bool((await other.get("/v1/routing")).json() == told)

            await until_awaited(followed)

    asyncio.run(run())
