"""``/v1/events``: what is asked of the store, and what is told of an event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from models.manifest import MANIFEST, BundleError
from preprocessing.event import AuthEvent
from services.auth import Guard
from services.gateway import GatewayApp
from services.metrics import GatewayMetrics
from services.routes.events import Lookups
from services.storage.appending import manifest_checksum
from services.storage.base import Kept, Page, VerdictQuery
from services.storage.errors import StoreError, TooLong
from services.telemetry import NO_TRACING
from services.wire import Question
from tests.unit.services.stages import FakeGraph
from tests.unit.services.storage.batches import encoded, verdict

#: As msgpack; what was written once must be read by every later ztad.
EVIDENCE = bytes.fromhex(
    "98de0009a974696d657374616d70d6ff6ae85110a7757365725f6964a3616e6ea76f7574636f6d65a773756363"
    "657373a86576656e745f6964a162a9736f757263655f6970a93139322e302e322e37a7636f756e747279a25347"
    "a463697479a953696e6761706f7265a86c61746974756465cb3ff599999999999aa96c6f6e676974756465cb40"
    "59f47ae147ae1492cb3ff8000000000000cb400400000000000097cb404a428f5c28f5c3cb402acccccccccccd"
    "cb41daba0a80000000a64265726c696ea24445ac3139382e35312e3130302e34a86c6170746f702d31ccd4cb40"
    "4e20000000000081a7636f756e74727994a24445ccd4ccd400920809cb4090000000000000"
)
EVENT = AuthEvent(datetime(2026, 11, 2, 9, tzinfo=UTC), "ann", "success", "c")
VERDICT = encoded(verdict("a", "high", "impossible_travel"))


class Store:
    """Answers as it is told to."""

    def __init__(self, kept: Kept | None = None, page: Page | None = None) -> None:
        self.kept = kept
        self.found = page or Page([])
        self.queries: list[VerdictQuery] = []
        self.error: Exception | None = None
        self.explained: list[Question] = []

    async def event(self, event_id: str) -> Kept | None:
        if self.error is not None:
            raise self.error
        return self.kept

    async def page(self, query: VerdictQuery) -> Page:
        if self.error is not None:
            raise self.error
        self.queries.append(query)
        return self.found

    async def explain(self, asked: Question) -> dict[str, Any]:
        self.explained.append(asked)
        if asked.version == "gone":
            raise BundleError(asked.path, "there is no such directory")
        return {"features": []}


def get(path: str, store: Store, models_dir: Path | None = None) -> httpx.Response:
    async def asking() -> httpx.Response:
        graph = FakeGraph()
        pipeline = graph.pipeline()
        app = GatewayApp(
            pipeline,
            graph.book(pipeline, models_dir),
            Lookups(store.event, store.page, store.explain),
            guard=Guard(),
            tracing=NO_TRACING,
            metrics=GatewayMetrics(),
        )
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://ztad") as client:
            return await client.get(path)

    return asyncio.run(asking())


def refused(answer: httpx.Response, status: int, field: str) -> str:
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["field"] == field
    return str(error["message"])


def kept(**fields: Any) -> Kept:
    given: dict[str, Any] = {
        "verdict": VERDICT,
        "version": "v1",
        "path": "bundles/v1",
        "manifest": "",
        "recorded_s": 0.0,
        "values": b"\0" * 8,
        "evidence": EVIDENCE,
    }
    return Kept(**given | fields)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", VerdictQuery(limit=100)),
        ("?user=ann&limit=5", VerdictQuery(user="ann", limit=5)),
        ("?address=192.0.2.7&version=v1&reason=unusual_rate",
         VerdictQuery(address="192.0.2.7", version="v1", reason="unusual_rate", limit=100)),
        ("?severity=high&anomaly=true",
         VerdictQuery(severity_at_least="high", anomaly=True, limit=100)),
        ("?anomaly=false", VerdictQuery(anomaly=False, limit=100)),
        ("?since=1970-01-01T00:00:10Z&until=1970-01-01T01:00:20%2B01:00",
         VerdictQuery(since_s=10.0, until_s=20.0, limit=100)),
        ("?after=1793600000.25_17", VerdictQuery(after=(1793600000.25, 17), limit=100)),
    ],
)  # fmt: skip
def test_filters(query: str, expected: VerdictQuery) -> None:
    store = Store()
    answer = get(f"/v1/events{query}", store)
    assert answer.json() == {"verdicts": [], "next": None}
    assert store.queries == [expected]


def test_a_page_and_the_next() -> None:
    answer = get("/v1/events", Store(page=Page([VERDICT, VERDICT], (1793600000.25, 17))))
    assert [each["event_id"] for each in answer.json()["verdicts"]] == ["a", "a"]
    assert answer.json()["next"] == "1793600000.25_17"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?users=ann", "users"),
        ("?severity=huge", "severity"),
        ("?anomaly=1", "anomaly"),
        ("?since=yesterday", "since"),
        ("?until=2026-11-22T08:15:00", "until"),
        ("?limit=0", "limit"),
        ("?limit=1001", "limit"),
        ("?after=x", "after"),
        ("?after=1.0_", "after"),
        ("?after=nan_1", "after"),
    ],
)
def test_what_cannot_be_meant_is_refused(query: str, field: str) -> None:
    refused(get(f"/v1/events{query}", Store()), 422, field)


@pytest.mark.parametrize("path", ["/v1/events", "/v1/events/a", "/v1/events/a/explanation"])
def test_a_store_that_cannot_be_read(path: str) -> None:
    store = Store()
    store.error = StoreError("verdicts.db", "is damaged", "move it")
    answer = get(path, store)
    assert "Recorder's log" in refused(answer, 503, "store")
    assert answer.headers["retry-after"] == "5"


def test_a_question_about_too_much() -> None:
    store = Store()
    store.error = TooLong("verdicts.db", "takes too long to answer this", "ask for less")
    message = refused(get("/v1/events?version=old", store), 422, "since")
    assert "say since when" in message


def test_an_explanation_tells_what_was_known() -> None:
    store = Store(kept())
    told = get("/v1/events/a/explanation", store).json()
    assert told["verdict"]["event_id"] == "a"
    assert told["explanation"] == {"features": []}
    assert store.explained == [Question("shap", "v1", "bundles/v1", VERDICT, b"\0" * 8, EVIDENCE)]
    assert told["evidence"] == {
        "event": {
            "timestamp": "2026-11-02T09:00:00Z",
            "user_id": "ann",
            "outcome": "success",
            "event_id": "b",
            "source_ip": "192.0.2.7",
            "country": "SG",
            "city": "Singapore",
            "latitude": 1.35,
            "longitude": 103.82,
        },
        "baseline": {
            "events": 212,
            "days": 60.25,
            "usual": {"country": {"value": "DE", "count": 212, "total": 212, "observed": 0}},
            "hours": [8, 9],
            "usual_bytes": 1024.0,
            "last_place": {
                "latitude": 52.52,
                "longitude": 13.4,
                "at_s": 1793600000.0,
                "city": "Berlin",
                "country": "DE",
                "source_ip": "198.51.100.4",
                "device_id": "laptop-1",
            },
        },
    }


@pytest.mark.parametrize("fields", [{}, {"event": msgspec.msgpack.encode(EVENT)}])
def test_an_event_as_it_came(fields: dict[str, bytes]) -> None:
    """Kept beside its verdict, or by an earlier ztad in the evidence alone."""
    store = Store(kept(**fields))
    shown = get("/v1/events/a/event", store).json()
    assert shown["event_id"] == ("c" if fields else "b")
    assert get("/v1/events/a/explanation", store).json()["event"] == shown


def test_an_event_that_is_not_kept_as_it_came() -> None:
    store = Store(kept(evidence=None))
    assert "most_event_days" in refused(get("/v1/events/a/event", store), 410, "event_id")
    assert get("/v1/events/a/explanation", store).json()["event"] is None
    assert get("/v1/events/a/event", Store()).status_code == 404


@pytest.mark.parametrize("method", ["shap", "lime", "counterfactual"])
def test_by_every_method(method: str) -> None:
    store = Store(kept())
    get(f"/v1/events/a/explanation?method={method}", store)
    assert [asked.method for asked in store.explained] == [method]


def test_a_method_that_there_is_not() -> None:
    message = refused(get("/v1/events/a/explanation?method=tea", Store(kept())), 422, "method")
    assert message == "expected one of shap, lime, counterfactual"


def test_an_event_with_nothing_notable_has_no_baseline_to_show() -> None:
    assert get("/v1/events/a/explanation", Store(kept(evidence=None))).json()["evidence"] is None


def test_an_event_of_which_only_the_verdict_is_kept() -> None:
    store = Store(kept(values=None, evidence=None))
    assert get("/v1/events/a", store).content == VERDICT
    message = refused(get("/v1/events/a/explanation", store), 410, "event_id")
    assert "only the verdict is kept" in message


def test_a_version_whose_bundle_is_gone() -> None:
    store = Store(kept(version="gone"))
    message = refused(get("/v1/events/a/explanation", store), 410, "model_version")
    assert "gone is not at bundles/v1" in message


@pytest.mark.parametrize("change", [lambda file: file.unlink(), lambda file: file.write_text("2")])
def test_a_version_whose_bundle_is_another_now(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    """The same version name at the same place is not enough."""
    file = tmp_path / MANIFEST
    file.write_text("1")
    store = Store(kept(path=str(tmp_path), manifest=manifest_checksum(str(tmp_path))))
    assert get("/v1/events/a/explanation", store).status_code == 200
    change(file)
    message = refused(get("/v1/events/a/explanation", store), 410, "model_version")
    assert str(tmp_path) in message
    assert len(store.explained) == 1


def test_a_bundle_that_was_replaced_is_found_among_the_fetched_ones(tmp_path: Path) -> None:
    served, fetched = tmp_path / "served", tmp_path / "models" / "v1"
    for folder in (served, fetched):
        folder.mkdir(parents=True)
        (folder / MANIFEST).write_text("1")
    store = Store(kept(path=str(served), manifest=manifest_checksum(str(served))))
    (served / MANIFEST).write_text("2")
    answer = get("/v1/events/a/explanation", store, tmp_path / "models")
    assert answer.status_code == 200
    assert [asked.path for asked in store.explained] == [str(fetched)]
