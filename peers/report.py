"""The original report's stack: FastAPI, saved scikit-learn and Keras models, a row per request.

As a first version of such a service is written, and served with ``uvicorn peers.report:app``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import pandas as pd
from fastapi import Body, FastAPI
from pydantic import BaseModel

from peers import models
from peers.features import row


class Event(BaseModel):
    """An event as the API takes it."""

    event_id: str
    timestamp: datetime
    user_id: str
    outcome: str
    action: str = "login"
    auth_kind: str = "interactive"
    source_ip: str | None = None
    country: str | None = None
    city: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    asn: int | None = None
    device_id: str | None = None
    user_agent: str | None = None
    session_id: str | None = None
    auth_method: str | None = None
    mfa: bool | None = None
    resource: str | None = None
    bytes_transferred: int | None = None
    failed_attempts: int | None = None


app = FastAPI()
loaded = models.load()


@app.get("/readyz")
def readyz() -> dict[str, str]:
    return {"status": "ready"}


@app.post("/v1/score")
def score(event: Event) -> dict[str, Any]:
    return judge([event])[0]


@app.post("/v1/score/batch")
def score_batch(body: Annotated[bytes, Body(media_type="application/x-ndjson")]) -> Any:
    return judge([Event.model_validate_json(line) for line in body.splitlines()])


def judge(events: list[Event]) -> list[dict[str, Any]]:
    """Every model's ``predict`` on one frame."""
    frame = pd.DataFrame([row(event.model_dump(), loaded.width) for event in events])
    x = frame.to_numpy(dtype="float32")
    forest = -loaded.forest.score_samples(x)
    svm = -loaded.svm.decision_function(x)
    rebuilt = loaded.autoencoder.predict(x, verbose=0)
    combined = loaded.scale.combine(forest, svm, models.errors(x, rebuilt))
    return [
        models.answer(event.event_id, each) for event, each in zip(events, combined, strict=True)
    ]
