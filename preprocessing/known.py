"""What is known by name, bounded: those of whom something was learned, and strangers.

Whoever was used lately is *awake*, an object; all others rest, packed into a fraction of the
memory, and wake when they are asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, ValuesView
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")


class Packer(Protocol[T]):
    """How an entry rests, and the ``dictionary`` needed to wake it, if there is one."""

    dictionary: bytes

    def take(self, dictionary: bytes) -> None:
        """Use the dictionary of a snapshot, or none."""

    def study(self, entries: ValuesView[T]) -> None:
        """Learn from entries like those to come how to pack them tighter."""

    def pack(self, entry: T) -> bytes:
        """The entry as bytes."""

    def unpack(self, packed: bytes) -> T | None:
        """The entry again, equal to the last bit; None if the bytes are damaged."""


class Tier(Generic[T]):
    """At most ``most`` entries by name, in the order of their last use: all that rest, then all
    that are ``awake``. What is resting and asked for is the oldest that is awake until used."""

    def __init__(self, most: int, packer: Packer[T]) -> None:
        self.awake: OrderedDict[str, T] = OrderedDict()
        self.resting: dict[str, bytes] = {}
        self._most = most
        self._packer = packer

    def __len__(self) -> int:
        return len(self.awake) + len(self.resting)

    def values(self) -> Iterator[T]:
        """Every entry; those that rest go on resting."""
        for packed in self.resting.values():
            entry = self._packer.unpack(packed)
            if entry is not None:
                yield entry
        yield from self.awake.values()

    def get(self, name: str) -> T | None:
        entry = self.awake.get(name)
        if entry is not None or name not in self.resting:
            return entry
        entry = self._packer.unpack(self.resting.pop(name))
        if entry is not None:
            self.awake[name] = entry
            self.awake.move_to_end(name, last=False)
        return entry

    def use(self, name: str) -> bool:
        """Make a name the most recently used, if it is known here."""
        if name not in self.awake and self.get(name) is None:
            return False
        self.awake.move_to_end(name)
        return True

    def put(self, name: str, entry: T) -> None:
        """Know ``name``, as the most recently used, and forget the longest unused beyond bounds."""
        self.resting.pop(name, None)
        self.awake[name] = entry
        self.awake.move_to_end(name)
        self._forget()

    def pop(self, name: str) -> None:
        self.awake.pop(name, None)
        self.resting.pop(name, None)

    def settle(self, most_awake: int) -> None:
        """Put the longest unused to rest until ``most_awake`` are left."""
        awake, resting, pack = self.awake, self.resting, self._packer.pack
        while len(awake) > most_awake:
            name, entry = awake.popitem(last=False)
            resting[name] = pack(entry)

    def fill(
        self, resting: dict[str, bytes], awake: dict[str, Any], of: Callable[[Any], T]
    ) -> None:
        """Take over a tier of a snapshot, ``awake`` as rows, as far as it fits."""
        self.resting = resting
        for name, row in awake.items():
            self.put(name, of(row))
        self._forget()

    def _forget(self) -> None:
        while len(self) > self._most:
            if not self.resting:
                self.awake.popitem(last=False)
                continue
            # Finding the first key walks over every key deleted before it: some at once.
            some = max(len(self) - self._most, len(self.resting) >> 8)
            for name in list(islice(self.resting, some)):
                del self.resting[name]


class Known(Generic[T]):
    """Names and what is known of each, in two tiers that forget the longest unused name.

    Strangers are those of whom nothing was learned. Invented names can only displace strangers.
    What :meth:`get` gives is valid until :meth:`settle`.
    """

    def __init__(
        self, most_learned: int, most_strangers: int, most_awake: int, packer: Packer[T]
    ) -> None:
        self.learned: Tier[T] = Tier(most_learned, packer)
        self.strangers: Tier[T] = Tier(most_strangers, packer)
        self._most_awake = most_awake
        self.packer = packer

    def __len__(self) -> int:
        return len(self.learned) + len(self.strangers)

    def get(self, name: str) -> T | None:
        return self.learned.get(name) or self.strangers.get(name)

    def use(self, name: str, entry: T) -> None:
        """Make ``name`` the most recently used; one unknown so far becomes a stranger."""
        if not self.learned.use(name):
            self.strangers.put(name, entry)

    def promote(self, name: str, entry: T) -> None:
        """Something was learned of ``name``: no stranger any more."""
        self.strangers.pop(name)
        self.learned.put(name, entry)

    def demote(self, name: str, entry: T) -> None:
        """Nothing that was learned of ``name`` is left."""
        self.learned.pop(name)
        self.use(name, entry)

    def settle(self) -> None:
        """Put to rest whoever was not used lately. Nothing that was got before is valid then."""
        most = self._most_awake
        if len(self.learned.awake) > most:
            # Not of strangers: invented names must not teach what packs users well.
            self.packer.study(self.learned.awake.values())
            self.learned.settle(most)
        if len(self.strangers.awake) > most:
            self.strangers.settle(most)
