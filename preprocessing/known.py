"""What is known by name, bounded: those of whom something was learned, and strangers."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class Known(Generic[T]):
    """Names and what is known of each, in two tiers that forget the longest unused name.

    Strangers are those of whom nothing was learned. Invented names can only displace strangers.
    """

    def __init__(self, most_learned: int, most_strangers: int) -> None:
        self.learned: OrderedDict[str, T] = OrderedDict()
        self.strangers: OrderedDict[str, T] = OrderedDict()
        self._most_learned = most_learned
        self._most_strangers = most_strangers

    def __len__(self) -> int:
        return len(self.learned) + len(self.strangers)

    def get(self, name: str) -> T | None:
        return self.learned.get(name) or self.strangers.get(name)

    def use(self, name: str, entry: T) -> None:
        """Make ``name`` the most recently used; one unknown so far becomes a stranger."""
        if name in self.learned:
            self.learned.move_to_end(name)
            return
        self.strangers[name] = entry
        self.strangers.move_to_end(name)
        while len(self.strangers) > self._most_strangers:
            self.strangers.popitem(last=False)

    def promote(self, name: str, entry: T) -> None:
        """Something was learned of ``name``: no stranger any more."""
        self.strangers.pop(name, None)
        self.learned[name] = entry
        while len(self.learned) > self._most_learned:
            self.learned.popitem(last=False)

    def demote(self, name: str, entry: T) -> None:
        """Nothing that was learned of ``name`` is left."""
        self.learned.pop(name, None)
        self.use(name, entry)

    def fill(self, learned: dict[str, T], strangers: dict[str, T]) -> None:
        """Take over both tiers of a snapshot, as far as they fit."""
        for name, entry in strangers.items():
            self.use(name, entry)
        for name, entry in learned.items():
            self.promote(name, entry)
