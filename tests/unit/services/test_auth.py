"""Who is let in, for what, how fast and until when, and that no key is ever told."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.audit import Audit
from services.auth import UNKNOWN_KEYS_A_MINUTE, Guard
from services.http import HttpError, Message, Response
from services.keyring import Keyring
from services.keys import Key, Scope, create, key_hash, revoke, rotate, span
from services.routes.base import Access, Request, Route

KEY = "s3cret-key-of-a-client"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


async def never(request: Request) -> Response:
    raise AssertionError("nobody is answered here")


async def nothing() -> Message:
    raise AssertionError("nothing is read here")


def route(access: Access = "score", path: str = "/v1/score") -> Route:
    return Route("POST", path, never, access)


def asked(*, client: str = "192.0.2.7", **headers: str) -> Request:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"method": "POST", "headers": pairs, "client": (client, 5), "path": "/v1/score?x=1"}
    return Request(scope, nothing, "trace", None)


class Watched:
    """A guard over a keys file, with clocks moved by hand and its audit log at hand."""

    def __init__(self, keys: Keyring | None, *, requests_per_s: float = 0.0) -> None:
        self.now = NOON.timestamp()
        self.told: list[str] = []
        self.guard = Guard(
            keys,
            requests_per_s=requests_per_s,
            audit=Audit(self.told.append, self.clock),
            clock=self.clock,
            now=self.clock,
        )

    def clock(self) -> float:
        return self.now

    def refused(self, request: Request, to: Route | None = None) -> HttpError:
        with pytest.raises(HttpError) as refused:
            self.guard.admit(request, to or route())
        return refused.value

    def admitted(self, request: Request, to: Route | None = None) -> str:
        """The caller's name."""
        self.guard.admit(request, to or route())
        return request.caller

    @property
    def lines(self) -> list[tuple[str, int, str, str]]:
        """What, status, caller and address of each audit line."""
        lines = map(json.loads, self.told)
        return [(told["what"], told["status"], told["caller"], told["address"]) for told in lines]


def known(*keys: str) -> Watched:
    return Watched(Keyring(None, [key_hash(key) for key in keys]))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def made(file: Path, name: str = "siem", *, scopes: tuple[Scope, ...] = ("score",),
         expires: str | None = None, rate: float | None = None) -> str:  # fmt: skip
    ends = NOON + span(expires) if expires else None
    return create(file, name, scopes=scopes, expires=ends, requests_per_s=rate, now=NOON)


@pytest.mark.parametrize(
    "request_",
    [
        asked(authorization=f"Bearer {KEY}"),
        asked(authorization=f"bearer {KEY}"),
        asked(authorization=f"Bearer   {KEY} "),
        asked(x_api_key=KEY),
        asked(authorization="Basic eDp5", x_api_key=KEY),
    ],
)
def test_a_known_key(request_: Request) -> None:
    watched = known("another", KEY)
    assert watched.admitted(request_) == f"environment-{key_hash(KEY)[:8]}"
    assert watched.told == []


@pytest.mark.parametrize(
    ("request_", "what"),
    [
        (asked(), "no_key"),
        (asked(authorization=""), "no_key"),
        (asked(authorization="Bearer"), "no_key"),
        (asked(authorization=f"Basic {KEY}"), "no_key"),
        (asked(authorization="Bearer wrong"), "unknown_key"),
        (asked(x_api_key="wrong"), "unknown_key"),
        (asked(x_api_key=key_hash(KEY)), "unknown_key"),
        (asked(x_api_key="\u00ff\u00fe"), "unknown_key"),
    ],
)
def test_no_known_key(request_: Request, what: str) -> None:
    watched = known(KEY)
    error = watched.refused(request_)
    assert (error.status, error.field) == (401, "authorization")
    assert dict(error.headers)[b"www-authenticate"].startswith(b"Bearer")
    assert watched.lines == [(what, 401, "", "192.0.2.7")]
    assert request_.caller == ""


def test_no_key_is_ever_told() -> None:
    watched = known(KEY)
    watched.guard.admit(asked(x_api_key=KEY), route("admin"))
    watched.guard.acted(asked(x_api_key=KEY), route("admin"), 200)
    for key in ("a-wrong-key", f"{KEY}-mistyped"):
        error = watched.refused(asked(x_api_key=key))
        told = f"{error.response().body!r} {error} {error!r} {watched.told}"
        assert KEY not in told
        assert key not in told
        assert key_hash(key) not in told


def test_open_routes_need_no_key() -> None:
    known(KEY).guard.admit(asked(), route("open"))


def test_scopes(file: Path) -> None:
    key = made(file, scopes=("score", "read"))
    watched = Watched(Keyring(file))
    assert watched.admitted(asked(x_api_key=key)) == "siem"
    watched.guard.admit(asked(x_api_key=key), route("read"))
    error = watched.refused(asked(x_api_key=key), route("admin", "/v1/routing"))
    assert (error.status, error.field) == (403, "scope")
    assert error.message == "the key 'siem' may read, score; this needs a key that may admin"
    assert watched.lines == [("lacks_scope", 403, "siem", "192.0.2.7")]


def test_admin_includes_no_other_scope(file: Path) -> None:
    key = made(file, scopes=("admin",))
    watched = Watched(Keyring(file))
    assert watched.refused(asked(x_api_key=key), route("read")).status == 403


def test_a_key_ends_at_its_second(file: Path) -> None:
    key = made(file, expires="90d")
    watched = Watched(Keyring(file))
    watched.now += span("90d").total_seconds() - 1
    watched.admitted(asked(x_api_key=key))
    watched.now += 1
    error = watched.refused(asked(x_api_key=key))
    assert error.status == 401
    assert error.message == "this API key expired at 2027-02-20T12:00:00+00:00"
    assert watched.lines == [("expired_key", 401, "siem", "192.0.2.7")]


def test_a_revoked_key(file: Path) -> None:
    key = made(file)
    keys = Keyring(file)
    watched = Watched(keys)
    revoke(file, "siem", now=NOON)
    keys.refresh()
    error = watched.refused(asked(x_api_key=key))
    assert error.message == "this API key was revoked at 2026-11-22T12:00:00+00:00"
    assert watched.lines == [("revoked_key", 401, "siem", "192.0.2.7")]


def test_a_rotated_key_goes_on_until_its_grace_ends(file: Path) -> None:
    old = made(file)
    keys = Keyring(file)
    watched = Watched(keys)
    new = rotate(file, "siem", grace=span("1h"), now=NOON)
    assert watched.refused(asked(x_api_key=new)).status == 401
    keys.refresh()
    assert watched.admitted(asked(x_api_key=new)) == watched.admitted(asked(x_api_key=old))
    watched.now += 3600
    watched.admitted(asked(x_api_key=new))
    assert "expired" in watched.refused(asked(x_api_key=old)).message


def test_too_fast() -> None:
    watched = Watched(Keyring(None, [key_hash(KEY), key_hash("other")]), requests_per_s=3)
    for _ in range(3):
        watched.admitted(asked(x_api_key=KEY))
    error = watched.refused(asked(x_api_key=KEY))
    assert (error.status, error.field, error.retry_after_s) == (429, "rate", 1)
    assert watched.lines[-1][:2] == ("over_rate", 429)
    watched.admitted(asked(x_api_key="other"))
    watched.now += 0.34
    watched.admitted(asked(x_api_key=KEY))
    watched.refused(asked(x_api_key=KEY))
    watched.now += 100
    for _ in range(3):
        watched.admitted(asked(x_api_key=KEY))
    watched.refused(asked(x_api_key=KEY))


def test_a_rate_of_its_own_that_rotated_keys_share(file: Path) -> None:
    old = made(file, rate=2)
    new = rotate(file, "siem", grace=span("1h"), now=NOON)
    watched = Watched(Keyring(file), requests_per_s=1000)
    watched.admitted(asked(x_api_key=old))
    watched.admitted(asked(x_api_key=new))
    assert "more than 2 requests" in watched.refused(asked(x_api_key=old)).message


def test_slower_than_one_a_second() -> None:
    watched = Watched(None, requests_per_s=0.1)
    watched.admitted(asked())
    assert watched.refused(asked()).retry_after_s == 10
    watched.now += 10
    watched.admitted(asked())


def test_wrong_keys_are_slowed_down_and_right_ones_are_not() -> None:
    watched = known(KEY)
    most = int(UNKNOWN_KEYS_A_MINUTE)
    statuses = [watched.refused(asked(x_api_key=f"{n}")).status for n in range(most + 2)]
    assert statuses == [401] * most + [429] * 2
    assert watched.refused(asked(x_api_key="x")).retry_after_s == 6
    assert watched.refused(asked(x_api_key="x", client="192.0.2.8")).status == 401
    watched.admitted(asked(x_api_key=KEY))
    watched.now += 6
    assert watched.refused(asked(x_api_key="x")).status == 401


def test_wrong_keys_from_many_addresses_of_one_network() -> None:
    watched = known(KEY)
    addresses = [f"2001:db8::{n:x}" for n in range(1, 20)]
    statuses = [watched.refused(asked(x_api_key="x", client=each)).status for each in addresses]
    assert statuses.count(401) == UNKNOWN_KEYS_A_MINUTE


def test_without_keys_this_machine_may_do_everything() -> None:
    watched = Watched(None)
    for access in ("open", "score", "read", "admin"):
        here = asked(client="127.0.0.1")
        watched.guard.meet(here)
        watched.guard.admit(here, route(access))
    assert watched.told == []


def test_without_keys_another_machine_may_do_nothing() -> None:
    watched = Watched(None)
    with pytest.raises(HttpError) as refused:
        watched.guard.meet(asked())
    assert (refused.value.status, refused.value.field) == (403, "client")
    assert watched.lines == [("other_machine", 403, "", "192.0.2.7")]


def test_with_keys_everybody_is_met() -> None:
    known(KEY).guard.meet(asked())


def test_changes_are_audited_whatever_came_of_them(file: Path) -> None:
    key = made(file, "ops", scopes=("admin",))
    watched = Watched(Keyring(file))
    request = asked(x_api_key=key)
    to = route("admin", "/v1/cases/{id}")
    request.params = {"id": "c" * 500}
    watched.guard.admit(request, to)
    watched.guard.acted(request, to, 422)
    told = json.loads(watched.told[0])
    assert told == {
        "time": "2026-11-22T12:00:00.000Z", "what": "admin", "status": 422, "caller": "ops",
        "key": key_hash(key)[:8], "address": "192.0.2.7", "method": "POST",
        "route": "/v1/cases/{id}", "target": "c" * 128, "trace_id": "trace",
    }  # fmt: skip


def test_a_running_guard_follows_its_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.auth.LOOK_EVERY_S", 0.01)
    watched = Watched(Keyring(file, [key_hash(KEY)]))
    key = made(file)

    async def follow() -> str:
        watching = asyncio.create_task(watched.guard.watch())
        try:
            while True:
                try:
                    return watched.admitted(asked(x_api_key=key))
                except HttpError:
                    await asyncio.sleep(0.01)
        finally:
            watching.cancel()

    assert asyncio.run(asyncio.wait_for(follow(), 10)) == "siem"


def test_a_key_of_the_document_form() -> None:
    """What an operator writes by hand or a tool generates is what ``create`` writes."""
    sha256 = key_hash(KEY)
    key = Key(name="n", sha256=sha256, scopes=("read",), created=NOON)
    assert key.fingerprint == sha256[:8]
    assert key.in_force(NOON)
