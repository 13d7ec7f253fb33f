"""Chat and push: Slack, Teams, Telegram, Discord, PagerDuty, ntfy and whatever else Apprise knows.

The address of a channel is an Apprise URL (https://github.com/caronc/apprise/wiki), for example
``slack://${SLACK_TOKEN}/#soc``, ``tgram://${BOT}/${CHAT}``, ``ntfys://${TOPIC}``,
``workflows://...`` (Teams) or ``pagerduty://${KEY}@${SERVICE}``. It holds tokens, so it is only
ever written with references.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import model_validator

from alerting.message import Message
from alerting.notifiers.base import (
    ATTEMPT_S,
    DAILY,
    ChannelSettings,
    Digest,
    Rejected,
    Retryable,
    hush,
    refusal,
)
from alerting.render import chat, subject
from alerting.secret import Secret, Secrets, Template
from alerting.shown import shown, shown_in_chat
from ensemble.verdict import Severity

if TYPE_CHECKING:
    from apprise import Apprise

#: Apprise's services that page whoever is on call: what a route sends there is not for tomorrow.
PAGERS = frozenset({
    "betterstack", "firehydrant", "goalert", "goalerts", "ilert", "incidentio", "jira", "opsgenie",
    "pagerduty", "pagertree", "signl4", "spike", "splunk", "spugpush", "squadcast", "victorops",
    "xmatters",
})  # fmt: skip
#: What Apprise says of an HTTP answer it did not like.
_STATUS = re.compile(r"error=(\d{3})\b")
_KIND: dict[Severity, str] = {
    "info": "info", "low": "info", "medium": "warning", "high": "warning", "critical": "failure",
}  # fmt: skip


class ChatSettings(ChannelSettings):
    """Where to: ``url: slack://${TOKEN}/#soc`` or ``url_file: PATH``.

    Pagers have no digest unless the rules say so; what a ``url_file`` holds is not known here.
    """

    digest: Digest | None = DAILY
    url: Template | None = None
    url_file: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _pages_at_once(cls, given: Any) -> Any:
        if isinstance(given, dict) and _scheme(given.get("url")) in PAGERS:
            return {"digest": None, **given}
        return given

    @model_validator(mode="after")
    def _one_url(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("expected either url with ${NAME} in it, or url_file")
        return self


class ChatNotifier:
    """Sends through Apprise. Most chats know no idempotency key: a repeat is seen twice there."""

    settings_type: ClassVar[type[ChannelSettings]] = ChatSettings

    def __init__(self, name: str, settings: ChannelSettings, secrets: Secrets) -> None:
        assert isinstance(settings, ChatSettings)
        self._secret = Secret(settings.url, settings.url_file)
        self._secrets = secrets
        hush("requests", "urllib3", "apprise")
        # Its warnings reach us with the result of a message, and we report them.
        logging.getLogger("apprise").propagate = False

    async def notify(self, message: Message) -> None:
        from apprise import AppriseResultStatus, NotifyFormat

        result = await self._apprise().async_notify(
            title=shown_in_chat(subject(message)),
            body=chat(message),
            notify_type=_KIND[message.severity],
            body_format=NotifyFormat.TEXT,
            timeout=ATTEMPT_S,
        )
        if result.status == AppriseResultStatus.SUCCESS:
            return
        if result.status == AppriseResultStatus.TIMEOUT:
            raise Retryable(f"no answer within {ATTEMPT_S:.0f} s")
        told = " ".join(entry.message for entry in result.logs())
        raise _problem(self._secrets.scrub(told))

    async def close(self) -> None:
        """Apprise holds nothing open between messages."""

    def _apprise(self) -> Apprise:
        from apprise import Apprise, AppriseAsset

        asset = AppriseAsset(
            app_id="ztad",
            app_desc="ztad",
            app_url="",
            image_url_mask="",
            image_url_logo="",
            http_redirects=False,
            service_timeout=ATTEMPT_S,
        )
        found = Apprise(asset=asset)
        if not found.add(self._secrets.read(self._secret)):
            raise Retryable("url: no Apprise URL; see https://github.com/caronc/apprise/wiki")
        return found


def _scheme(url: object) -> str:
    return url.partition("://")[0].strip().lower() if isinstance(url, str) else ""


def _problem(told: str) -> Retryable | Rejected:
    status = _STATUS.search(told)
    if status is None:
        return Retryable(shown(told, 200) or "not sent")
    return refusal(int(status.group(1)))
