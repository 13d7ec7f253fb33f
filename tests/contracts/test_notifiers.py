"""What every notifier promises: it delivers, says rightly why not, leaks nothing, escapes all."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from alerting.message import Message, digest_message, sample_message
from alerting.notifiers import NOTIFIERS, notifier_type
from alerting.notifiers.base import Notifier, Rejected, Retryable
from alerting.secret import Secrets
from tests.unit.alerting.making import NOW_S, alert, message
from tests.unit.alerting.servers import Certificates, Mailbox, WebServer, certificates, mail_server

SECRET = "hunter2-9f86d081884c7d65"
HOSTILE = "<script>alert(1)</script>\r\nBcc: eve@evil.example\u202e<!channel> @everyone [x](y)"


@dataclass(frozen=True, slots=True)
class Channel:
    """A notifier and the far end it talks to."""

    notifier: Notifier
    texts: Callable[[], list[str]]
    """What arrived, decoded, one text per message."""
    refuse: Callable[[str], None]
    """Have the far end refuse the next message: "later" or "never"."""


Open = Callable[[], Any]


def made(name: str, settings: dict[str, Any], secret: str = SECRET) -> Notifier:
    kind = notifier_type(name)
    secrets = Secrets({"SECRET": secret, "NAME": "ztad-user"})
    return kind("soc", kind.settings_type.model_validate({"type": name, **settings}), secrets)


@asynccontextmanager
async def email(tls: Certificates, *, implicit: bool) -> AsyncIterator[Channel]:
    mailbox = Mailbox(known=("ztad-user", SECRET))
    async with mail_server(mailbox, tls.server, implicit=implicit) as port:
        settings = {
            "host": "127.0.0.1", "port": port, "security": "tls" if implicit else "starttls",
            "sender": "ztad <ztad@example.org>", "to": ["soc@example.org"],
            "username": "${NAME}", "password": "${SECRET}", "ca_file": tls.authority,
        }  # fmt: skip
        replies = {"later": "451 busy", "never": "554 too strange"}
        yield Channel(
            made("email", settings),
            lambda: [_flat(mail) for mail in mailbox.mails()],
            lambda kind: mailbox.data_replies.append(replies[kind]),
        )


@asynccontextmanager
async def web(name: str, settings: dict[str, Any]) -> AsyncIterator[Channel]:
    server = WebServer()
    url = str(settings["url"]).replace("PORT", str(server.port))
    notifier = made(name, settings | {"url": url})
    statuses = {"later": 503, "never": 422}
    yield Channel(
        notifier,
        lambda: [each.body.decode() for each in server.received if each.body],
        lambda kind: server.answers.append((statuses[kind], {})),
    )
    await notifier.close()
    server.close()


WEBHOOK = {
    "url": "http://127.0.0.1:PORT/hook/${SECRET}", "secret": "${SECRET}", "plain_http": True,
}  # fmt: skip


@asynccontextmanager
async def memory() -> AsyncIterator[Channel]:
    notifier: Any = made("memory", {})
    refusals = {"later": Retryable("answered 503"), "never": Rejected("answered 422")}
    yield Channel(
        notifier,
        lambda: [f"{each.told[0].alert.who} {each.delivery_id}" for each in notifier.sent],
        lambda kind: setattr(notifier, "refuse", refusals[kind]),
    )


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=["email starttls", "email tls", "webhook", "chat", "memory"])
def opened(request: pytest.FixtureRequest, tls: Certificates) -> Open:
    openers: dict[str, Open] = {
        "email starttls": lambda: email(tls, implicit=False),
        "email tls": lambda: email(tls, implicit=True),
        "webhook": lambda: web("webhook", WEBHOOK),
        "chat": lambda: web("chat", {"url": "json://127.0.0.1:PORT/${SECRET}"}),
        "memory": memory,
    }
    assert {name.partition(" ")[0] for name in openers} == set(NOTIFIERS)
    return openers[request.param]


async def sent(opened: Open, *messages: Message) -> list[str]:
    async with opened() as channel:
        for each in messages:
            await channel.notifier.notify(each)
        texts: list[str] = channel.texts()
        return texts


async def refused(opened: Open, kind: str) -> BaseException:
    """What the notifier raises when the far end refuses."""
    async with opened() as channel:
        channel.refuse(kind)
        with pytest.raises((Retryable, Rejected)) as raised:
            await channel.notifier.notify(message())
        return raised.value


def test_it_delivers(opened: Open) -> None:
    (text,) = asyncio.run(sent(opened, message("ann.smith")))
    assert "ann.smith" in text


def test_it_delivers_digests_and_tests(opened: Open) -> None:
    digest = digest_message("d2", [alert("e1", "ann.smith"), alert("e2", "bob.jones")])
    first, second = asyncio.run(sent(opened, digest, sample_message("d3", NOW_S)))
    assert "ann.smith" in first
    assert "test" in second.lower()


def test_what_may_get_through_later_is_retryable(opened: Open) -> None:
    assert isinstance(asyncio.run(refused(opened, "later")), Retryable)


def test_what_will_never_be_taken_is_rejected(opened: Open) -> None:
    assert isinstance(asyncio.run(refused(opened, "never")), Rejected)


def test_it_works_again_after_a_failure(opened: Open) -> None:
    async def talk() -> None:
        async with opened() as channel:
            channel.refuse("later")
            with pytest.raises(Retryable):
                await channel.notifier.notify(message())
            if hasattr(channel.notifier, "refuse"):
                channel.notifier.refuse = None
            await channel.notifier.notify(message("ann.smith"))
            assert "ann.smith" in channel.texts()[-1]

    asyncio.run(talk())


@pytest.mark.parametrize("kind", ["later", "never"])
def test_no_secret_is_leaked(opened: Open, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async def talk() -> str:
        async with opened() as channel:
            await channel.notifier.notify(message())
            shown = f"{channel.notifier!r} {channel.notifier}"
        error = await refused(opened, kind)
        trace = "".join(traceback.format_exception(error))
        return f"{shown} {error} {error!r} {error.args} {trace}"

    with caplog.at_level(logging.DEBUG):
        told = asyncio.run(talk())
    logged = " ".join(record.getMessage() for record in caplog.records)
    assert SECRET not in told
    assert SECRET not in logged


def test_a_far_end_that_is_not_there_is_retryable_and_leaks_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Port 9 of this machine: nobody listens there."""
    gone: dict[str, dict[str, Any]] = {
        "email": {"host": "127.0.0.1", "port": 9, "sender": "a@b.example", "to": ["c@d.example"],
                  "username": "${NAME}", "password": "${SECRET}"},
        "webhook": WEBHOOK | {"url": "http://127.0.0.1:9/${SECRET}"},
        "chat": {"url": "json://127.0.0.1:9/${SECRET}"},
    }  # fmt: skip
    for name, settings in gone.items():
        with caplog.at_level(logging.DEBUG), pytest.raises(Retryable) as raised:
            asyncio.run(made(name, settings).notify(message()))
        assert SECRET not in "".join(traceback.format_exception(raised.value)), name
    assert SECRET not in " ".join(record.getMessage() for record in caplog.records)


def test_whatever_an_event_contains_arrives_as_text(opened: Open) -> None:
    hostile = message(HOSTILE, city=HOSTILE, resource=HOSTILE)
    (text,) = asyncio.run(sent(opened, hostile))
    if text.startswith("{") and "alerts" in json.loads(text):
        # A machine's JSON: nothing is lost, nothing breaks out.
        assert json.loads(text)["alerts"][0]["users"] == [HOSTILE]
        return
    if text.endswith(" d1"):
        return  # memory hands over the message itself
    assert "\nBcc:" not in text
    assert "\u202e" not in text
    _, mail, html = text.partition("text/html\n")
    assert "<script>" not in (html if mail else text)
    if not mail:
        for trick in ("<!channel>", "@everyone", "](y)"):
            assert trick not in text


def _flat(mail: Any) -> str:
    """Headers and decoded parts, one text."""
    headers = "\n".join(f"{name}: {value}" for name, value in mail.items())
    parts = [part for part in mail.walk() if not part.is_multipart()]
    plain = "\n".join(f"{part.get_content_type()}\n{part.get_content()}" for part in parts)
    return f"{headers}\n{plain}"
