"""Secrets by reference: ``${NAME}`` or a file, read when they are needed and never shown.

A rules file names where a secret is, so it can be kept in version control and shown in errors. What
is read stays inside the call that needs it; ``repr`` and ``str`` show the reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from pydantic import AfterValidator, StringConstraints

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
#: No password, token or URL is longer; a larger file is the wrong file.
MOST_SECRET_BYTES = 16_384
REDACTED = "***"


class SecretMissing(Exception):
    """A reference that leads nowhere: which one, and how to mend it."""


def _references(text: str) -> str:
    if not _REFERENCE.search(text):
        raise ValueError("expected a reference such as ${NAME}, or the same key ending in _file; "
                         "a secret itself does not belong in this file")  # fmt: skip
    return text


def _whole_reference(text: str) -> str:
    if not _REFERENCE.fullmatch(text):
        raise ValueError("expected exactly one reference such as ${NAME}, or the same key ending "
                         "in _file; a secret itself does not belong in this file")  # fmt: skip
    return text


_Text = Annotated[str, StringConstraints(max_length=4096)]
Reference = Annotated[_Text, AfterValidator(_whole_reference)]
"""``${NAME}`` and nothing else: a password, a key."""
Template = Annotated[_Text, AfterValidator(_references)]
"""Text with at least one ``${NAME}`` in it, such as a URL with a token."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is: a text with ``${NAME}`` references, or a file."""

    template: str | None = None
    file: Path | None = None

    def __str__(self) -> str:
        return self.template if self.template is not None else f"file {self.file}"


class Secrets:
    """Reads secrets from an environment and from files, each time anew: rotation needs no restart.

    Remembers what it read only to keep it out of messages, see :meth:`scrub`.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._seen: dict[str, None] = {}

    def __repr__(self) -> str:
        return "Secrets()"

    def read(self, secret: Secret) -> str:
        """The secret itself; raises :class:`SecretMissing`."""
        if secret.file is not None:
            return self._keep(_from_file(secret.file))
        return self._keep(_REFERENCE.sub(self._variable, secret.template or ""))

    def scrub(self, text: str) -> str:
        """The text without any secret that was ever read."""
        for secret in sorted(self._seen, key=len, reverse=True):
            text = text.replace(secret, REDACTED).replace(quote(secret, safe=""), REDACTED)
        return text

    def _variable(self, match: re.Match[str]) -> str:
        value = self._environment.get(match.group(1), "")
        if not value:
            raise SecretMissing(f"environment variable {match.group(1)} is not set")
        return self._keep(value)

    def _keep(self, value: str) -> str:
        # Of a short value every other word would be taken for a secret.
        if len(value) >= 4:
            self._seen[value] = None
        return value


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_SECRET_BYTES + 1)
    except OSError as error:
        raise SecretMissing(f"file {path} cannot be read: {error.strerror}") from None
    if len(data) > MOST_SECRET_BYTES:
        raise SecretMissing(f"file {path} is larger than {MOST_SECRET_BYTES:,} bytes")
    value = data.decode("utf-8", "replace").strip("\r\n")
    if not value:
        raise SecretMissing(f"file {path} is empty")
    return value
