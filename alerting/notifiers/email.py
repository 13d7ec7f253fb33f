"""E-mail over SMTP, always encrypted: STARTTLS or TLS from the first byte, certificate verified."""

from __future__ import annotations

import asyncio
import re
import smtplib
import ssl
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from alerting.message import Message
from alerting.notifiers.base import (
    ATTEMPT_S,
    DAILY,
    ChannelSettings,
    Digest,
    Rejected,
    Retryable,
    tls_context,
)
from alerting.render import html, subject, text
from alerting.secret import Reference, Secret, Secrets
from alerting.shown import shown

#: Deliveries of which is remembered who took them, while others of the same message did not.
MOST_PARTIAL = 256
_ADDRESS = r"[^\s@<>,;\"]+@[A-Za-z0-9.-]+"
_MAILBOX = re.compile(rf"{_ADDRESS}|[^<>@,;\"\r\n]+ <{_ADDRESS}>")


def _mailbox(text: str) -> str:
    if not _MAILBOX.fullmatch(text):
        raise ValueError("expected an address such as soc@example.org or ztad <ztad@example.org>")
    return text


Mailbox = Annotated[str, StringConstraints(max_length=320), AfterValidator(_mailbox)]


class EmailSettings(ChannelSettings):
    """A mail server and who is written to. User and password are references or files."""

    digest: Digest | None = DAILY
    host: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls"] = "starttls"
    """``starttls`` (port 587) or ``tls`` from the first byte (port 465)."""
    sender: Mailbox
    to: Annotated[tuple[Mailbox, ...], Field(min_length=1, max_length=100)]
    username: Reference | None = None
    password: Reference | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    """Certificates to trust instead of the system's, PEM."""

    @model_validator(mode="after")
    def _whole_login(self) -> Self:
        given = (self.password is not None) + (self.password_file is not None)
        if given > 1 or given != (self.username is not None):
            raise ValueError("expected username with either password or password_file, or none")
        return self


class EmailNotifier:
    """One connection per message: alerts are rare, and an idle connection is one that breaks."""

    settings_type: ClassVar[type[ChannelSettings]] = EmailSettings

    def __init__(self, name: str, settings: ChannelSettings, secrets: Secrets) -> None:
        assert isinstance(settings, EmailSettings)
        self._settings = settings
        self._secrets = secrets
        self._done: OrderedDict[str, set[str]] = OrderedDict()

    async def notify(self, message: Message) -> None:
        mail = composed(message, self._settings)
        done = self._done.get(message.delivery_id, set())
        recipients = [to for to in _addresses(self._settings.to) if to not in done]
        refused = await asyncio.to_thread(self._send, mail, recipients)
        if not refused:
            self._done.pop(message.delivery_id, None)
            return
        self._remember(message.delivery_id, done | (set(recipients) - refused.keys()))
        raise _refusal(refused, len(self._settings.to))

    async def close(self) -> None:
        """No connection outlives its message."""

    def _send(self, mail: EmailMessage, recipients: list[str]) -> Mapping[str, tuple[int, bytes]]:
        """Send; the recipients that were refused, with the server's replies."""
        sender = parseaddr(self._settings.sender)[1]
        with _problems(self._secrets):
            smtp = self._connected()
            try:
                self._login(smtp)
                refused: Mapping[str, tuple[int, bytes]] = smtp.send_message(
                    mail, sender, recipients
                )
            except smtplib.SMTPRecipientsRefused as error:
                refused = error.recipients
            finally:
                # Whatever it says to a goodbye, what it took it has taken.
                with suppress(smtplib.SMTPException, OSError):
                    smtp.quit()
                smtp.close()
        return refused

    def _login(self, smtp: smtplib.SMTP) -> None:
        settings = self._settings
        if settings.username is not None:
            user = self._secrets.read(Secret(settings.username))
            password = self._secrets.read(Secret(settings.password, settings.password_file))
            smtp.login(user, password)

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        context = tls_context(settings.ca_file)
        if settings.security == "tls":
            return smtplib.SMTP_SSL(
                settings.host, settings.port, timeout=ATTEMPT_S, context=context
            )
        smtp = smtplib.SMTP(settings.host, settings.port, timeout=ATTEMPT_S)
        try:
            smtp.starttls(context=context)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _remember(self, delivery_id: str, done: set[str]) -> None:
        self._done[delivery_id] = done
        while len(self._done) > MOST_PARTIAL:
            self._done.popitem(last=False)


def composed(message: Message, settings: EmailSettings) -> EmailMessage:
    """The mail: plain text with HTML beside it. Its Message-ID is the delivery's, so that a repeat
    can be told; all mails of one alert form a thread."""
    mail = EmailMessage()
    sender = parseaddr(settings.sender)[1]
    domain = sender.rpartition("@")[2]
    mail["Subject"] = subject(message)
    mail["From"] = settings.sender
    mail["To"] = ", ".join(settings.to)
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = f"<{message.delivery_id}@{domain}>"
    if message.kind == "alert":
        mail["References"] = f"<{message.told[0].alert.alert_id}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Ztad-Severity"] = message.severity
    if message.severity in ("high", "critical"):
        mail["Importance"] = "high"
    mail.set_content(text(message))
    mail.add_alternative(html(message), subtype="html")
    # A subject stays on one line: some clients show where it was folded.
    mail.policy = mail.policy.clone(max_line_length=200)
    return mail


def _addresses(mailboxes: tuple[str, ...]) -> list[str]:
    return [parseaddr(mailbox)[1] for mailbox in mailboxes]


def _refusal(refused: Mapping[str, tuple[int, bytes]], total: int) -> Retryable:
    codes = sorted({code for code, _ in refused.values()})
    told = f"{len(refused)} of {total} recipients refused, reply {', '.join(map(str, codes))}"
    return Retryable(told)


@contextmanager
def _problems(secrets: Secrets) -> Iterator[None]:
    """Turns what smtplib, ssl and sockets raise into what a notifier raises.

    Only the content of a mail can be refused for good: sender, recipients and login are settings,
    which somebody can mend while the message waits.
    """
    try:
        yield
    except smtplib.SMTPResponseException as error:
        reply = error.smtp_error
        words = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)
        told = shown(secrets.scrub(f"server replied {error.smtp_code} {words}"), 200)
        if isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500:
            raise Rejected(told) from None
        raise Retryable(told) from None
    except ssl.SSLCertVerificationError as error:
        raise Retryable(f"certificate not trusted: {error.verify_message}") from None
    except smtplib.SMTPNotSupportedError:
        raise Retryable("the server offers no STARTTLS, or no login") from None
    except (smtplib.SMTPException, OSError) as error:
        raise Retryable(f"no connection ({type(error).__name__})") from None
