"""services/storage/postgres/alert_log.py: what tests/contracts/test_alert_logs.py does not ask."""

from __future__ import annotations

import asyncio
from contextlib import closing

import asyncpg
import msgspec
import pytest

from alerting.log import AlertQuery
from services.recorder import Recorder, RecorderArgs
from services.storage.errors import StoreError
from services.storage.opening import open_alert_log
from tests.unit.alerting.making import alert
from tests.unit.services.storage.batches import batch, evidence_of, verdict


def test_what_is_on_record_is_there_for_the_next_process(postgres: str) -> None:
    made = alert("e1", user="ann <b>\N{SNOWMAN}")
    with closing(open_alert_log(postgres)) as log:
        asyncio.run(log.join([made], [(made.alert_id, made.lead)]))
    with closing(open_alert_log(postgres)) as log:
        assert asyncio.run(log.alert(made.alert_id)) == made


def test_a_recorder_finds_the_alerts_of_the_one_before(postgres: str) -> None:
    flagged = verdict("e1", "high", "impossible_travel")
    recorded = batch(flagged, evidence={0: evidence_of("e1")})

    async def alerts(recorder: Recorder) -> list[str]:
        found = msgspec.json.decode(await recorder.alerts(AlertQuery()))
        return [each["alert_id"] for each in found["alerts"]]

    async def first() -> list[str]:
        with closing(Recorder(RecorderArgs(database=postgres))) as recorder:
            assert await recorder.record([recorded])
            while True:
                if made := await alerts(recorder):
                    return made
                await asyncio.sleep(0.001)

    async def second() -> list[str]:
        with closing(Recorder(RecorderArgs(database=postgres))) as recorder:
            return await alerts(recorder)

    made = asyncio.run(first())
    assert len(made) == 1
    assert asyncio.run(second()) == made


def test_a_database_that_comes_later_is_used_then(postgres: str) -> None:
    server, _, name = postgres.rpartition("/")

    async def talk() -> None:
        with closing(open_alert_log(f"{server}/{name}_later")) as log:
            with pytest.raises(StoreError, match=r"_later: has no such database .*createdb"):
                await log.save(alert("e1"))
            connection = await asyncpg.connect(postgres)
            await connection.execute(f"CREATE DATABASE {name}_later")
            await log.save(alert("e1"))
            assert await log.alert("alert-e1") == alert("e1")
            await connection.execute(f"DROP DATABASE {name}_later WITH (FORCE)")
            await connection.close()

    asyncio.run(talk())


def test_nobody_has_a_name_that_no_text_can_hold(postgres: str) -> None:
    async def talk() -> None:
        with closing(open_alert_log(postgres)) as log:
            await log.save(alert("e1", user="a"))
            assert await log.alerts(AlertQuery(user="a\0")) == []

    asyncio.run(talk())
