"""E-mail as a real mail server receives it, over TLS."""

from __future__ import annotations

import asyncio
import re
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from alerting.message import Message, digest_message
from alerting.notifiers.base import Retryable
from alerting.notifiers.email import EmailNotifier, EmailSettings
from alerting.secret import Secrets
from tests.unit.alerting.making import alert, message
from tests.unit.alerting.servers import Certificates, Mailbox, certificates, mail_server


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


def notifier(port: int, **changed: Any) -> EmailNotifier:
    given: dict[str, Any] = {
        "type": "email", "host": "127.0.0.1", "port": port,
        "sender": "ztad <ztad@example.org>", "to": ["soc@example.org"],
    }  # fmt: skip
    settings = EmailSettings.model_validate(given | changed)
    return EmailNotifier("soc", settings, Secrets({"NAME": "ztad", "PASSWORD": "right horse"}))


def received(tls: Certificates, *messages: Message, **changed: Any) -> list[EmailMessage]:
    async def talk() -> list[EmailMessage]:
        mailbox = Mailbox()
        async with mail_server(mailbox, tls.server) as port:
            for each in messages:
                await notifier(port, ca_file=tls.authority, **changed).notify(each)
        return mailbox.mails()

    return asyncio.run(talk())


def test_text_and_html_show_observed_against_usual(tls: Certificates) -> None:
    (mail,) = received(tls, message("ann", link="https://ztad.example.org"))
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    for text in (plain.get_content(), html.get_content()):
        for shown in ("ann", "Singapore", "Berlin (212 of 212)", "T1078", "203.0.113.9",
                      "2026-11-22 08:00:00 UTC", "Ask the user",
                      "https://ztad.example.org/v1/alerts/alert-e1"):  # fmt: skip
            assert shown in text
    row = re.search(r"<tr>(?:(?!<tr>).)*Singapore(?:(?!</tr>).)*</tr>", html.get_content(), re.S)
    assert row is not None
    assert "Berlin (212 of 212)" in row.group()


def test_the_html_fetches_nothing(tls: Certificates) -> None:
    (mail,) = received(tls, message(link="https://ztad.example.org"))
    html = mail.get_body(("html",))
    assert html is not None
    assert not re.search(r"<(img|script|link|iframe)|url\(|@import", html.get_content())


def test_headers(tls: Certificates) -> None:
    recipients = ["a@x.example", "B <b@x.example>"]
    (mail,) = received(tls, message("ann", severity="critical"), to=recipients)
    assert mail["Subject"] == "[CRITICAL] ann: impossible travel"
    assert mail["From"] == "ztad <ztad@example.org>"
    assert mail["To"] == "a@x.example, B <b@x.example>"
    assert mail["Message-ID"] == "<d1@example.org>"
    assert mail["Importance"] == "high"
    assert mail["Auto-Submitted"] == "auto-generated"


def test_a_repeat_has_the_same_id_and_all_mails_of_an_alert_are_a_thread(tls: Certificates) -> None:
    again = message("ann", delivery_id="d2")
    first, repeat, update = received(tls, message("ann"), message("ann"), again)
    assert first["Message-ID"] == repeat["Message-ID"] != update["Message-ID"]
    assert first["References"] == update["References"] == "<alert-e1@example.org>"


def test_a_digest_lists_the_most_severe_first(tls: Certificates) -> None:
    alerts = [alert(f"e{n}", f"user-{n:03}", severity="low") for n in range(230)]
    alerts.append(alert("e999", "vip", severity="high"))
    (mail,) = received(tls, digest_message("d1", alerts))
    assert mail["Subject"] == "[digest] 231 alerts: 1 high, 230 low"
    for kind in ("plain", "html"):
        body = mail.get_body((kind,))
        assert body is not None
        text = body.get_content()
        assert text.index("vip") < text.index("user-000")
        assert "31 more" in text
        assert "user-229" not in text


def test_no_header_can_be_written_by_an_event(tls: Certificates) -> None:
    hostile = "ann\r\nBcc: eve@evil.example\r\n\r\nclick https://evil.example"
    (mail,) = received(tls, message(hostile))
    assert mail["Bcc"] is None
    assert "\n" not in mail["Subject"]
    assert len(mail["Subject"]) < 90
    body = mail.get_body(("plain",))
    assert body is not None
    assert "https://evil" not in body.get_content()


def refused(tls: Certificates, mailbox: Mailbox, **changed: Any) -> str:
    """Why a mail could not be sent; it has to be something that may be mended."""

    async def talk() -> None:
        async with mail_server(mailbox, tls.server) as port:
            await notifier(port, **({"ca_file": tls.authority} | changed)).notify(message())

    with pytest.raises(Retryable) as raised:
        asyncio.run(talk())
    return str(raised.value)


def test_a_certificate_nobody_vouches_for_is_refused(tls: Certificates) -> None:
    mailbox = Mailbox()
    assert "certificate not trusted" in refused(tls, mailbox, ca_file=None)
    assert mailbox.envelopes == []


def test_a_certificate_of_another_host_is_refused(tmp_path: Path) -> None:
    other = certificates(tmp_path, "mail.elsewhere.example")
    mailbox = Mailbox()
    assert "certificate not trusted" in refused(other, mailbox)
    assert mailbox.envelopes == []


def test_nothing_is_sent_in_the_clear(tls: Certificates) -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        async with mail_server(mailbox, None) as port:
            with pytest.raises(Retryable, match="no STARTTLS"):
                await notifier(port, ca_file=tls.authority).notify(message())
        assert mailbox.envelopes == []

    asyncio.run(talk())


def test_a_ca_file_that_cannot_be_used_is_told(tls: Certificates, tmp_path: Path) -> None:
    assert "ca_file cannot be used: No such file" in refused(
        tls, Mailbox(), ca_file=tmp_path / "none.pem"
    )


def test_a_wrong_password_may_be_mended(tls: Certificates) -> None:
    mailbox = Mailbox(known=("ztad", "wrong horse"))
    login = {"username": "${NAME}", "password": "${PASSWORD}"}
    told = refused(tls, mailbox, **login)
    assert told.startswith("server replied 535")
    assert "horse" not in told
    mailbox.known = ("ztad", "right horse")
    asyncio.run(_sent(tls, mailbox, login))
    assert len(mailbox.envelopes) == 1


async def _sent(tls: Certificates, mailbox: Mailbox, login: dict[str, str]) -> None:
    async with mail_server(mailbox, tls.server) as port:
        await notifier(port, ca_file=tls.authority, **login).notify(message())


def test_who_has_the_mail_does_not_get_it_again_because_others_have_not(tls: Certificates) -> None:
    async def talk() -> None:
        mailbox = Mailbox(recipient_replies={"b@x.example": "450 later"})
        async with mail_server(mailbox, tls.server) as port:
            sender = notifier(port, ca_file=tls.authority, to=["a@x.example", "b@x.example"])
            with pytest.raises(Retryable, match="1 of 2 recipients refused, reply 450"):
                await sender.notify(message())
            mailbox.recipient_replies.clear()
            await sender.notify(message())
            await sender.notify(message("bob", delivery_id="d2"))
        assert [each.rcpt_tos for each in mailbox.envelopes] == [
            ["a@x.example"], ["b@x.example"], ["a@x.example", "b@x.example"],
        ]  # fmt: skip

    asyncio.run(talk())


def test_no_recipient_at_all_may_be_mended(tls: Certificates) -> None:
    mailbox = Mailbox(recipient_replies={"soc@example.org": "550 unknown"})
    assert refused(tls, mailbox) == "1 of 1 recipients refused, reply 550"
