"""Keeping secrets out of what leaves a process as text: log lines and traces.

Nothing of ours puts one there. Texts of libraries are another matter: an HTTP client's error names
the address it called, with whatever is in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

REDACTED = "***"
#: Variables that hold secrets, by how their names end. What ends in _FILE or _PATH is a place.
_SECRET_NAME = re.compile(r"(KEYS?|TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIALS?)$", re.IGNORECASE)
#: Of a shorter value every other word would be taken for the secret.
_SHORTEST = 8
_FORMS = (
    # Our own API keys.
    (re.compile(r"\bztad_[A-Za-z0-9_-]{20,}"), f"ztad_{REDACTED}"),
    # Authorization: Bearer ..., Basic ...
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1 {REDACTED}"),
    # scheme://user:password@host
    (re.compile(r"(://)[^/\s@]+@"), rf"\1{REDACTED}@"),
    # Incoming webhooks of chats: the path is the secret.
    (re.compile(r"(https?://[^/\s]+/)(?:services|webhook\w*|api/webhooks|bot)[^\s'\"]*"),
     rf"\1{REDACTED}"),
    # token=..., "password": "..."
    (re.compile(r"((?:token|secret|passw(?:or)?d|api[_-]?key|access[_-]?key|signature)"
                r"['\"]?\s*[=:]\s*['\"]?)[^\s'\",;&}]{4,}", re.IGNORECASE), rf"\1{REDACTED}"),
)  # fmt: skip


class Redaction:
    """Blanks what looks like a secret, and what variables of an environment say is one.

    >>> Redaction({"SMTP_PASSWORD": "correct horse"})("login failed: correct horse")
    'login failed: ***'
    >>> Redaction({})("POST https://ann:pw@example.com/?token=abcdef")
    'POST https://***@example.com/?token=***'
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        found = {
            part.strip()
            for name, value in environment.items()
            if _SECRET_NAME.search(name)
            for part in value.split(",")
        }
        # The longest first: one secret may begin with another.
        self._known = sorted((each for each in found if len(each) >= _SHORTEST), key=len)[::-1]

    def __repr__(self) -> str:
        return "Redaction()"

    def __call__(self, text: str) -> str:
        """The text without them."""
        for secret in self._known:
            text = text.replace(secret, REDACTED)
        for form, instead in _FORMS:
            text = form.sub(instead, text)
        return text
