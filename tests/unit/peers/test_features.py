"""The peers' features: of the event alone, and as many as the models take."""

from datetime import UTC, datetime
from typing import Any

import pytest

from peers.features import row

EVENT: dict[str, Any] = {
    "timestamp": "2026-11-22T21:30:00+00:00", "user_id": "ann", "outcome": "success",
    "action": "transfer", "auth_kind": "token", "auth_method": "sso", "mfa": True,
    "latitude": 52.5, "longitude": 13.4, "asn": 3320, "country": "DE", "bytes_transferred": 0,
}  # fmt: skip


def test_every_event_has_as_many_numbers_as_the_models_take() -> None:
    assert len(row(EVENT, 57)) == 57
    assert row(EVENT, 57)[20:] == [0.0] * 37


def test_what_the_event_says() -> None:
    assert row(EVENT, 57)[:12] == [21.5, 6.0, 1.0, 1.0, 0.0, 2.0, 1.0, 1.0, 1.0, 52.5, 13.4, 56.0]


def test_a_decoded_timestamp_is_as_good_as_a_written_one() -> None:
    decoded = EVENT | {"timestamp": datetime(2026, 11, 22, 21, 30, tzinfo=UTC)}
    assert row(decoded, 57) == row(EVENT, 57)


@pytest.mark.parametrize("absent", [{}, dict.fromkeys(EVENT.keys() - {"timestamp"})])
def test_absent_fields(absent: dict[str, None]) -> None:
    made = row({"timestamp": EVENT["timestamp"], **absent}, 57)
    assert made[4:8] == [-1.0] * 4
    assert made[8:12] == [0.0] * 4
    assert made[12:19] == [-1.0] * 7


def test_texts_are_told_apart() -> None:
    assert row(EVENT, 57) != row(EVENT | {"country": "FR"}, 57)
