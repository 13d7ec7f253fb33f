"""Webhook: alerts as signed JSON over HTTPS, following the Standard Webhooks specification.

Headers of every request (https://www.standardwebhooks.com):

``webhook-id``
    the delivery's id, the same in every repeat: the idempotency key.
``webhook-timestamp``
    when this attempt was made, seconds since the epoch. Refuse what is minutes old.
``webhook-signature``
    ``v1,`` and the base64 of HMAC-SHA256 over ``{id}.{timestamp}.{body}`` with the secret. A secret
    that begins with ``whsec_`` is base64; any other is used as it is, in UTF-8.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated, ClassVar, Self

import httpx
import msgspec
from pydantic import AfterValidator, StringConstraints, model_validator

from alerting.document import message_document
from alerting.message import Message
from alerting.notifiers.base import (
    ATTEMPT_S,
    ChannelSettings,
    Retryable,
    hush,
    refusal,
    tls_context,
)
from alerting.secret import Reference, Secret, Secrets

_URL = re.compile(r"https?://[^\s@]+")


def _address(url: str) -> str:
    if not _URL.fullmatch(url):
        raise ValueError("expected https://HOST/PATH without user and password")
    return url


class WebhookSettings(ChannelSettings):
    """Where to, and the secret that signs: ``secret: ${NAME}`` or ``secret_file: PATH``."""

    url: Annotated[str, StringConstraints(max_length=2048), AfterValidator(_address)]
    """Without user and password. ``${NAME}`` in it is replaced when a message is sent."""
    secret: Reference | None = None
    secret_file: Path | None = None
    plain_http: bool = False
    """Whether ``http://`` is meant: signed, but readable for whoever is in between."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's, PEM."""

    @model_validator(mode="after")
    def _secure(self) -> Self:
        if (self.secret is None) == (self.secret_file is None):
            raise ValueError("expected either secret: ${NAME} or secret_file")
        if self.url.startswith("http://") and not self.plain_http:
            raise ValueError("url: expected https://, or plain_http: true beside it")
        return self


class WebhookNotifier:
    """Posts messages. Redirects are refused: they would carry alerts to an address nobody chose."""

    settings_type: ClassVar[type[ChannelSettings]] = WebhookSettings

    def __init__(
        self,
        name: str,
        settings: ChannelSettings,
        secrets: Secrets,
        now: Callable[[], float] = time.time,
    ) -> None:
        assert isinstance(settings, WebhookSettings)
        self._settings = settings
        self._secrets = secrets
        self._now = now
        self._client: httpx.AsyncClient | None = None
        hush("httpx", "httpcore")

    async def notify(self, message: Message) -> None:
        settings, secrets = self._settings, self._secrets
        url = secrets.read(Secret(template=settings.url))
        key = signing_key(secrets.read(Secret(settings.secret, settings.secret_file)))
        body = msgspec.json.encode(message_document(message))
        headers = signed_headers(message.delivery_id, int(self._now()), body, key)
        try:
            response = await self._connected().post(url, content=body, headers=headers)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise Retryable(f"no answer ({type(error).__name__})") from None
        if not response.is_success:
            wait_s = retry_after_s(response.headers.get("retry-after", ""), self._now())
            raise refusal(response.status_code, wait_s)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            context = tls_context(self._settings.ca_file)
            self._client = httpx.AsyncClient(
                verify=context, timeout=ATTEMPT_S, follow_redirects=False
            )
        return self._client


def signing_key(secret: str) -> bytes:
    """The key of a secret; raises :class:`Retryable` for a ``whsec_`` that is no base64."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise Retryable("secret: expected base64 after whsec_") from None


def signed_headers(delivery_id: str, timestamp: int, body: bytes, key: bytes) -> dict[str, str]:
    """Headers of one request, as the module describes them."""
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "user-agent": "ztad",
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def retry_after_s(header: str, now_s: float) -> float | None:
    """Seconds that a ``Retry-After`` header asks to wait, from a number or a date.

    >>> retry_after_s("120", 0.0), retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", 0.0)
    (120.0, 60.0)
    >>> retry_after_s("soon", 0.0)
    """
    if header.strip().isdecimal():
        return float(header)
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.fromtimestamp(now_s, UTC)).total_seconds())
