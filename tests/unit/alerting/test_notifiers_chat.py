"""Chats through Apprise: what reaches a real HTTP server, and what Apprise makes of answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from alerting.message import digest_message
from alerting.notifiers.base import Rejected, Retryable
from alerting.notifiers.chat import PAGERS, ChatNotifier, ChatSettings
from alerting.secret import Secrets
from tests.unit.alerting.making import alert, message
from tests.unit.alerting.servers import WebServer


@pytest.fixture
def server() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.close()


def notify(server: WebServer, url: str = "json://127.0.0.1:${PORT}/", told: Any = None) -> None:
    settings = ChatSettings.model_validate({"type": "chat", "url": url})
    secrets = Secrets({"PORT": str(server.port)})
    asyncio.run(ChatNotifier("soc", settings, secrets).notify(told or message()))


def test_title_body_and_urgency(server: WebServer) -> None:
    notify(server, told=message("ann", severity="critical", link="https://ztad.example.org"))
    body = json.loads(server.received[0].body)
    assert body["title"] == "[CRITICAL] ann: impossible travel"
    assert body["type"] == "failure"
    lines = body["message"].splitlines()
    assert "• impossible travel (T1078): Singapore; usual: Berlin (212 of 212)" in lines
    assert "11-22 08:00:00 login succeeded, Singapore, SG · 203.0.113.9" in lines
    assert lines[-1] == "https://ztad.example.org/v1/alerts/alert-e1"


def test_a_digest_is_short(server: WebServer) -> None:
    alerts = [alert(f"e{n}", f"user-{n}") for n in range(30)]
    notify(server, told=digest_message("d1", alerts))
    body = json.loads(server.received[0].body)
    assert body["title"] == "[digest] 30 alerts: 30 high"
    assert "And 20 more; all are in the queue." in body["message"]


@pytest.mark.parametrize(
    "url", ["mmost://127.0.0.1:${PORT}/abcdefghijklmnopqrstuvwxyz", "ntfy://127.0.0.1:${PORT}/soc"]
)
def test_what_an_event_says_is_text_in_chats_that_know_markup(server: WebServer, url: str) -> None:
    notify(server, url, message("<!channel> @everyone [x](https://evil.example) `x`"))
    text = json.dumps(json.loads(server.received[0].body), ensure_ascii=False)
    for trick in ("<!channel>", "@everyone", "](http", "https://evil", "`"):
        assert trick not in text
    assert "‹!channel› @ everyone" in text


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_what_can_be_mended_is_tried_again(server: WebServer, status: int) -> None:
    server.answers = [(status, {})]
    with pytest.raises(Retryable, match=f"answered {status}"):
        notify(server)


def test_what_the_chat_will_never_take_is_rejected(server: WebServer) -> None:
    server.answers = [(400, {})]
    with pytest.raises(Rejected, match="answered 400"):
        notify(server)


def test_redirects_are_refused(server: WebServer) -> None:
    server.answers = [(307, {"Location": f"http://127.0.0.1:{server.port}/elsewhere"})]
    with pytest.raises(Retryable, match="redirects are not followed"):
        notify(server)
    assert len(server.received) == 1


def test_what_is_no_address_is_told_without_repeating_it(server: WebServer) -> None:
    with pytest.raises(Retryable, match="no Apprise URL") as raised:
        notify(server, "carrier-pigeon://${PORT}/loft")
    assert str(server.port) not in str(raised.value)


def test_every_pager_is_a_service_that_apprise_knows() -> None:
    from apprise import Apprise

    known: set[str] = set()
    for service in Apprise().details()["schemas"]:
        known.update(service["protocols"] or (), service["secure_protocols"] or ())
    assert known >= PAGERS
