"""services/audit_record.py: nothing is lost while the Recorder is away, up to a bound."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from services import audit_record
from services.audit import Audit, Entry, together
from services.audit_record import AuditRecord
from services.recorder import Recorder, RecorderArgs
from services.routes.audit import AuditRoutes
from services.routes.base import Request
from services.storage.base import AuditLine


class Away:
    """A Recorder that is away for the first calls; it may have kept what it did not confirm."""

    def __init__(self, failures: int, *, kept: bool = False) -> None:
        self.failures = failures
        self.kept = kept
        self.lines: dict[str, bytes] = {}

    async def remote(self, lines: Sequence[AuditLine]) -> None:
        self.failures -= 1
        if self.failures >= 0 and not self.kept:
            raise ConnectionError("away")
        self.lines |= {line.line_id: line.document for line in lines}
        if self.failures >= 0:
            raise TimeoutError


async def sent(record: AuditRecord) -> None:
    """Until everything is on record."""
    running = asyncio.create_task(record.run())
    await record.emptied()
    running.cancel()


@pytest.mark.parametrize("kept", [False, True])
def test_lines_wait_for_a_recorder_that_is_away(
    kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_record, "PAUSE_S", 0.0)
    recorder = Away(3, kept=kept)

    async def run() -> None:
        record = AuditRecord(recorder)
        for number in range(audit_record.AT_ONCE + 1):
            record.put(str(number))
        await sent(record)

    asyncio.run(run())
    expected = [str(number).encode() for number in range(audit_record.AT_ONCE + 1)]
    assert list(recorder.lines.values()) == expected


def test_beyond_the_bound_the_oldest_go_and_are_counted() -> None:
    recorder, lost = Away(0), list[None]()

    async def run() -> None:
        record = AuditRecord(recorder, lambda: lost.append(None), most=3)
        for number in range(5):
            record.put(str(number))
        await sent(record)

    asyncio.run(run())
    assert list(recorder.lines.values()) == [b"2", b"3", b"4"]
    assert len(lost) == 2


def asked(query: str) -> Request:
    scope = {"type": "http", "query_string": query.encode(), "headers": []}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    return Request(scope, receive, "", None)


def test_lines_are_told_page_by_page_as_they_are_in_the_file() -> None:
    file: list[str] = []

    async def run() -> list[dict[str, Any]]:
        recorder = Recorder(RecorderArgs())

        class Call:
            remote = staticmethod(recorder.audit)

        record = AuditRecord(Call())
        audit = Audit(together(file.append, record.put))
        for number in range(3):
            audit.done(Entry(what="admin", status=200, caller="kim", target=str(number)))
        await sent(record)
        routes = AuditRoutes(recorder.audits)
        first = json.loads((await routes.listed(asked("limit=2"))).body)
        rest = json.loads((await routes.listed(asked(f"limit=2&after={first['next']}"))).body)
        recorder.close()
        return [first, rest]

    first, rest = asyncio.run(run())
    assert [*rest["audit"], *first["audit"][::-1]] == [json.loads(line) for line in file]
    assert rest["next"] is None
