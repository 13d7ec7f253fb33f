"""What an attacker may have written, made fit to be shown to people.

User names, cities, devices and resources come from whoever tries to log in. HTML is escaped by the
templates; this takes away what escaping leaves: control characters, directions of writing, links
that clients make clickable, and in chats mentions and markup.
"""

from __future__ import annotations

import re
import unicodedata

MOST_SHOWN = 300
#: Control and format characters, surrogates, unassigned ones; line and paragraph separators.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_MENTION = re.compile(r"@(?=(?:everyone|here|channel|all)\b)", re.IGNORECASE)
_CHAT = str.maketrans({"<": "‹", ">": "›", "`": "'", "\\": "/"})


class Ours(str):
    """Text that no event had a say in, such as a link to ztad: shown as it is."""

    __slots__ = ()


def shown(value: object, most: int = MOST_SHOWN) -> str:
    """On one line, without invisible characters or links, at most ``most`` characters.

    >>> shown("ann\\r\\nBcc: all"), shown("http://evil.example/x")
    ('ann��Bcc: all', 'http[:]//evil.example/x')
    """
    if isinstance(value, Ours):
        return value
    text = str(value)
    text = text if len(text) <= most else f"{text[: most - 1]}…"
    printable = "".join(
        _REPLACEMENT if unicodedata.category(char) in _UNPRINTABLE else char for char in text
    )
    return printable.replace("://", "[:]//")


def shown_in_chat(value: object, most: int = MOST_SHOWN) -> str:
    """As :func:`shown`, and nobody is mentioned, nothing is linked or quoted as code.

    >>> shown_in_chat("<!channel> [click](evil) @everyone")
    '‹!channel› [click] (evil) @ everyone'
    """
    if isinstance(value, Ours):
        return value
    text = shown(value, most).translate(_CHAT).replace("](", "] (")
    return _MENTION.sub("@ ", text)
