"""Which model version plays which part, who changed it when, and what going back means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

Alias = Literal["champion", "challenger", "shadow"]
ALIASES: tuple[Alias, ...] = get_args(Alias)


class Change(msgspec.Struct, frozen=True):
    """One move of an alias. ``at`` is RFC 3339 in UTC; an empty version means: none.

    ``back`` is true for a move that took back an earlier one.
    """

    alias: Alias
    before: str
    after: str
    at: str
    by: str
    back: bool = False


def before(alias: Alias, current: str, changes: Sequence[Change]) -> str | None:
    """What ``alias`` named before it came to name ``current``; None if that is not known.

    ``changes`` is the history of every alias, oldest first. Going back twice goes back two moves,
    not there and back again. A move that nobody recorded counts as one.

    >>> moves = [Change("champion", "", "1", "", "ann"), Change("champion", "1", "2", "", "bob")]
    >>> before("champion", "2", moves), before("champion", "1", moves)
    ('1', '2')
    >>> before("champion", "1", [*moves, Change("champion", "2", "1", "", "ann", back=True)])
    ''
    """
    passed: list[str] = []
    last = ""
    for change in changes:
        if change.alias != alias:
            continue
        if change.before != last and passed:
            passed.append(last)
        if change.back and passed:
            passed.pop()
        else:
            passed.append(change.before)
        last = change.after
    if last != current:
        passed.append(last)
    return passed[-1] if passed else None
