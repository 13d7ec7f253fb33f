"""``Windows``: the stretches of time within which features count, which a model version chooses."""

from __future__ import annotations

import msgspec

from preprocessing.history import FACTS


class Windows(msgspec.Struct, frozen=True):
    """Windows of time within which features count: ``15m``, ``1h`` or ``1d``.

    ``failures`` of a user (``user_failures``, ``success_after_failures``), ``address_failures``
    (the feature of that name), ``guesses`` at others from an address (``success_at_guesser``), and
    ``denials`` of a second factor (``mfa_denials``). Defaults: fifteen minutes is the window of
    the published brute-force rules (Elastic, Sigma), a day catches a patient guesser.
    """

    failures: str = "15m"
    address_failures: str = "15m"
    guesses: str = "1d"
    denials: str = "15m"


DEFAULT_WINDOWS = Windows()

#: Facts behind each window, named as in ``history.FACTS`` but for the ending.
_COUNTED: dict[str, tuple[str, ...]] = {
    "failures": ("user_failures",),
    "address_failures": ("address_failures",),
    "guesses": ("address_failures", "user_failures"),
    "denials": ("mfa_denials",),
}


class UnknownWindow(ValueError):
    """A window within which the history does not count."""

    def __init__(self, name: str, window: str) -> None:
        self.name = name
        self.window = window
        self.kept = kept_windows(name)
        super().__init__(
            f"feature window {name}: expected one that the history keeps, "
            f"{' or '.join(self.kept)}, got {window!r}"
        )


def kept_windows(name: str) -> tuple[str, ...]:
    """The windows that a field of :class:`Windows` may have, the shortest first.

    >>> kept_windows("denials")
    ('15m', '1h')
    """
    first, *others = _COUNTED[name]
    ends = [fact.removeprefix(f"{first}_") for fact in FACTS if fact.startswith(f"{first}_")]
    kept = [end for end in ends if all(f"{other}_{end}" in FACTS for other in others)]
    return tuple(sorted(kept, key=lambda end: ("mhd".index(end[-1]), int(end[:-1]))))


def needed_facts(windows: Windows) -> frozenset[str]:
    """Facts that features in these windows count by; raises :class:`UnknownWindow` for one that
    the history lacks."""
    needed = set()
    for name, facts in _COUNTED.items():
        window = getattr(windows, name)
        wanted = {f"{fact}_{window}" for fact in facts}
        if not wanted <= set(FACTS):
            raise UnknownWindow(name, window)
        needed |= wanted
    return frozenset(needed)
