"""``/v1/feedback`` while the history can hear, and while it cannot; the rest is in tests/graph."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from preprocessing.feedback import Feedback
from services.recorder import Recorder, RecorderArgs
from services.routes.base import Request
from services.routes.feedback import FeedbackLookups, FeedbackRoutes
from tests.unit.services.storage.batches import batch, verdict


class Hearing:
    """A history that remembers what it was told, or is away."""

    def __init__(self) -> None:
        self.away = False
        self.heard: list[Feedback] = []

    async def correct(self, feedback: Sequence[Feedback]) -> int:
        if self.away:
            raise ConnectionError("no Preprocessor")
        self.heard += feedback
        return self.heard[-1].serial if self.heard else 0


def given(disposition: str) -> Request:
    body = json.dumps({"event_id": "a", "disposition": disposition}).encode()
    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "query_string": b"", "headers": headers}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(scope, receive, "", None)


def test_what_the_history_could_not_hear_is_on_record_told_and_heard_later() -> None:
    history, unheard = Hearing(), list[float]()

    async def run() -> None:
        recorder = Recorder(RecorderArgs())
        await recorder.record([batch(verdict("a", "high", "impossible_travel"))])
        routes = FeedbackRoutes(
            FeedbackLookups(
                give_feedback=recorder.give_feedback,
                undo_feedback=recorder.undo_feedback,
                feedback=recorder.feedback,
                feedback_after=recorder.feedback_after,
                correct=history.correct,
            ),
            unheard.append,
        )
        history.away = True
        first = await routes.give(given("compromised"))
        assert (first.status, json.loads(first.body)["applied"]) == (201, False)
        history.away = False
        second = await routes.give(given("undo"))
        assert json.loads(second.body)["applied"] is True
        page = (await recorder.metrics()).decode()
        for disposition, times in (("compromised", 1.0), ("undo", 1.0), ("safe", 0.0)):
            assert f'ztad_feedback_total{{disposition="{disposition}"}} {times}' in page
        recorder.close()

    asyncio.run(run())
    assert unheard == [1.0, 0.0]
    assert [one.disposition for one in history.heard] == ["compromised", None]
