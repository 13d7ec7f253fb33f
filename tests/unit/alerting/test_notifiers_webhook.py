"""Webhooks as a real HTTP server receives them; signatures made again by hand."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest

from alerting.message import digest_message
from alerting.notifiers.base import Rejected, Retryable
from alerting.notifiers.webhook import WebhookNotifier, WebhookSettings, signing_key
from alerting.secret import Secrets
from tests.unit.alerting.making import NOW_S, alert, message
from tests.unit.alerting.servers import WebServer

KEY = "correct horse battery staple"


@pytest.fixture
def server() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.close()


def notify(server: WebServer, *messages: Any, key: str = KEY, **changed: Any) -> None:
    given: dict[str, Any] = {
        "type": "webhook", "url": f"http://127.0.0.1:{server.port}/hook", "secret": "${KEY}",
        "plain_http": True,
    }  # fmt: skip
    settings = WebhookSettings.model_validate(given | changed)

    async def talk() -> None:
        notifier = WebhookNotifier("soc", settings, Secrets({"KEY": key}), now=lambda: NOW_S)
        try:
            for each in messages or (message(),):
                await notifier.notify(each)
        finally:
            await notifier.close()

    asyncio.run(talk())


def test_the_signature_is_over_id_timestamp_and_body(server: WebServer) -> None:
    notify(server)
    (request,) = server.received
    id_, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    signed = f"{id_}.{at}.".encode() + request.body
    expected = base64.b64encode(hmac.new(KEY.encode(), signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"
    assert (id_, at) == ("d1", str(int(NOW_S)))


def test_a_standard_webhooks_secret_is_base64() -> None:
    """The example of the specification's reference implementations."""
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    signed = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330." + body
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    assert digest == b"g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    with pytest.raises(Retryable, match="expected base64 after whsec_"):
        signing_key("whsec_no base64!")


def test_the_body_tells_alert_and_chain(server: WebServer) -> None:
    notify(server, message("ann", link="https://ztad.example.org"))
    body = json.loads(server.received[0].body)
    assert {key: body[key] for key in ("id", "type", "severity", "total", "update", "link")} == {
        "id": "d1", "type": "ztad.alert", "severity": "high", "total": 1, "update": False,
        "link": "https://ztad.example.org",
    }  # fmt: skip
    (told,) = body["alerts"]
    assert (told["alert_id"], told["subject"]) == ("alert-e1", "user:ann")
    (event,) = told["chain"]
    assert event["event"]["source_ip"] == "203.0.113.9"
    assert event["verdict"]["reasons"][0]["code"] == "impossible_travel"
    assert event["at"] == "2026-11-22T08:00:00.000Z"


def test_a_digest_counts_its_alerts(server: WebServer) -> None:
    notify(server, digest_message("d2", [alert("e1"), alert("e2", "bob", severity="low")]))
    body = json.loads(server.received[0].body)
    assert (body["type"], body["severities"]) == ("ztad.digest", {"high": 1, "low": 1})


def test_a_repeat_has_the_same_id(server: WebServer) -> None:
    notify(server, message(), message())
    first, repeat = server.received
    assert first.headers["webhook-id"] == repeat.headers["webhook-id"]
    assert first.body == repeat.body


@pytest.mark.parametrize("status", [401, 403, 404, 408, 425, 429, 500, 502, 503, 504])
def test_what_time_or_an_operator_can_mend_is_tried_again(server: WebServer, status: int) -> None:
    server.answers = [(status, {})]
    with pytest.raises(Retryable, match=f"answered {status}"):
        notify(server)


@pytest.mark.parametrize("status", [400, 405, 410, 413, 422])
def test_what_a_repeat_cannot_change_is_rejected(server: WebServer, status: int) -> None:
    server.answers = [(status, {})]
    with pytest.raises(Rejected, match=f"answered {status}"):
        notify(server)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_refused(server: WebServer, status: int) -> None:
    server.answers = [(status, {"Location": f"http://127.0.0.1:{server.port}/elsewhere"})]
    with pytest.raises(Retryable, match="redirects are not followed"):
        notify(server)
    assert [request.path for request in server.received] == ["/hook"]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("120", 120.0), ("Sun, 22 Nov 2026 08:05:00 GMT", 300.0), ("soon", None), ("-5", None)],
)
def test_retry_after_is_passed_on(server: WebServer, header: str, seconds: float | None) -> None:
    server.answers = [(429, {"Retry-After": header})]
    with pytest.raises(Retryable) as raised:
        notify(server)
    assert raised.value.retry_after_s == seconds


def test_a_token_may_stand_in_the_address(server: WebServer) -> None:
    notify(server, url=f"http://127.0.0.1:{server.port}/hook/${{KEY}}", key="token-1")
    assert server.received[0].path == "/hook/token-1"
