"""Who is let in, how fast, and that no key is ever told."""

from __future__ import annotations

import pytest

from services.auth import Guard, key_hash
from services.http import HttpError

KEY = "s3cret-key-of-a-client"


def asked(**headers: str) -> dict[str, object]:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"headers": pairs}


def refusal(guard: Guard, scope: dict[str, object]) -> HttpError:
    with pytest.raises(HttpError) as refused:
        guard.admit(scope)
    return refused.value


def test_without_keys_everybody_is_let_in() -> None:
    Guard(()).admit(asked())


@pytest.mark.parametrize(
    "scope",
    [
        asked(authorization=f"Bearer {KEY}"),
        asked(authorization=f"bearer {KEY}"),
        asked(authorization=f"Bearer   {KEY} "),
        asked(x_api_key=KEY),
        asked(authorization="Basic eDp5", x_api_key=KEY),
    ],
)
def test_a_known_key(scope: dict[str, object]) -> None:
    Guard([key_hash("another"), key_hash(KEY)]).admit(scope)


@pytest.mark.parametrize(
    "scope",
    [
        asked(),
        asked(authorization=""),
        asked(authorization="Bearer"),
        asked(authorization=f"Basic {KEY}"),
        asked(authorization="Bearer wrong"),
        asked(x_api_key="wrong"),
        asked(x_api_key=key_hash(KEY)),
        {"headers": [(b"x-api-key", b"\xff\xfe")]},
    ],
)
def test_no_known_key(scope: dict[str, object]) -> None:
    error = refusal(Guard([key_hash(KEY)]), scope)
    assert (error.status, error.field) == (401, "authorization")


def test_no_key_is_ever_told() -> None:
    guard = Guard([key_hash(KEY)], requests_per_s=1)
    guard.admit(asked(x_api_key=KEY))
    for error in (
        refusal(guard, asked(x_api_key=KEY)),
        refusal(guard, asked(x_api_key="a-wrong-key")),
    ):
        told = error.response().body.decode() + str(error) + repr(error)
        assert KEY not in told
        assert "a-wrong-key" not in told
        assert key_hash(KEY) not in told


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_too_fast() -> None:
    clock = Hand()
    guard = Guard([key_hash(KEY), key_hash("other")], requests_per_s=3, clock=clock)
    for _ in range(3):
        guard.admit(asked(x_api_key=KEY))
    error = refusal(guard, asked(x_api_key=KEY))
    assert (error.status, error.field, error.retry_after_s) == (429, "rate", 1)
    guard.admit(asked(x_api_key="other"))
    clock.now += 0.34
    guard.admit(asked(x_api_key=KEY))
    refusal(guard, asked(x_api_key=KEY))
    clock.now += 100
    for _ in range(3):
        guard.admit(asked(x_api_key=KEY))
    refusal(guard, asked(x_api_key=KEY))


def test_slower_than_one_a_second() -> None:
    clock = Hand()
    guard = Guard((), requests_per_s=0.1, clock=clock)
    guard.admit(asked())
    assert refusal(guard, asked()).retry_after_s == 10
    clock.now += 10
    guard.admit(asked())
