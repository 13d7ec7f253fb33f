"""Which values of each field an owner is known by, and how rare a value is for that owner.

One owner's values lie side by side in memory, field after field. An event asks for nine of them
twice, of an owner who was last seen thousands of events ago: as nine dictionaries they would be
some sixty places in memory, each of which has to be fetched.
"""

from __future__ import annotations

from math import log2
from typing import Final, final

from librt.strings import BytesWriter, write_f64_le
from librt.vecs import append, extend, vec
from mypy_extensions import i64, mypyc_attr

from preprocessing.baseline import PRIOR_EVENTS
from preprocessing.history import CATEGORIES
from preprocessing.numbers import number

#: Sightings from which a value is a habit rather than new.
HABIT: Final = 2.0
#: Events of a user before which a way of access (agent, method, kind) is no habit, however often it
#: was seen: newcomers are judged by the tenant's ways (Entra: learning mode for 10 logins).
SETTLED: Final = 10.0
_FIRST_WAY: Final = CATEGORIES.index("agent")
_LAST_WAY: Final = CATEGORIES.index("kind")
_FIELDS: Final = len(CATEGORIES)


def key_of(value: str | None) -> i64:
    """What a value is found by, 0 if there is none: Python's 64-bit hash, of a secret of the
    process, so that nobody can make two values of one key; by chance one in 1e16 would be."""
    if value is None:
        return 0
    key: i64 = hash(value)
    return key if key else 1


def keys_of(values: tuple[str | None, ...]) -> vec[i64]:
    """The keys of the values of an event, one per field."""
    keys = vec[i64](capacity=_FIELDS)
    for value in values:
        keys = append(keys, key_of(value))
    return keys


@final
@mypyc_attr(acyclic=True)
class Habits:
    """How often each value of each field was seen, and how often a value was seen first.

    Values of a field are in the order of their first sighting, ``_ends[field]`` to
    ``_ends[field + 1]``. The weight of a field is the sum of its counts; its firsts are the events
    that brought a new value. Keys are those of :func:`key_of`.
    """

    __slots__ = ("_counts", "_ends", "_firsts", "_keys", "_names", "_weights")

    def __init__(self) -> None:
        self._keys = vec[i64]()
        self._counts = vec[float]()
        self._names: list[str] = []
        self._ends = vec[i64]([0] * (_FIELDS + 1))
        self._weights = vec[float]([0.0] * _FIELDS)
        self._firsts = vec[float]([0.0] * _FIELDS)

    def weight(self, field: i64) -> float:
        return self._weights[field]

    def firsts(self, field: i64) -> float:
        return self._firsts[field]

    def count(self, field: i64, value: str | None) -> float:
        """How often a value was seen; 0 if never."""
        at = self._find(field, key_of(value))
        return self._counts[at] if at >= 0 else 0.0

    def knows(self, field: i64, value: str | None) -> bool:
        return self._find(field, key_of(value)) >= 0

    def items(self, field: i64) -> list[tuple[str, float]]:
        """Values of a field and their counts, the first seen first."""
        ends, names, counts = self._ends, self._names, self._counts
        return [(names[int(at)], counts[at]) for at in range(ends[field], ends[field + 1])]

    def top(self, field: i64) -> tuple[str, float] | None:
        """The most frequent value and its count, or None while nothing was learned."""
        ends, counts = self._ends, self._counts
        found: i64 = -1
        most = 0.0
        for at in range(ends[field], ends[field + 1]):
            if counts[at] > most:
                found, most = at, counts[at]
        return (self._names[int(found)], most) if found >= 0 else None

    @property
    def names(self) -> list[str]:
        """All values, field after field; not to be changed."""
        return self._names

    def write(self, out: BytesWriter) -> None:
        """Everything else: weights and firsts of all fields, where each ends, counts."""
        for field in range(i64(_FIELDS)):
            write_f64_le(out, self._weights[field])
        for field in range(i64(_FIELDS)):
            write_f64_le(out, self._firsts[field])
        for field in range(i64(_FIELDS)):
            write_f64_le(out, float(self._ends[field + 1]))
        for count in self._counts:
            write_f64_le(out, count)

    def fill(self, names: list[str], numbers: bytes, at: i64) -> None:
        """Become what :attr:`names` and :meth:`write` gave; the numbers begin ``at`` the n-th."""
        for field in range(i64(_FIELDS)):
            self._weights[field] = number(numbers, at + field)
            self._firsts[field] = number(numbers, at + _FIELDS + field)
            self._ends[field + 1] = int(number(numbers, at + 2 * _FIELDS + field))
        at += 3 * _FIELDS
        keys, counts = vec[i64](capacity=len(names)), vec[float](capacity=len(names))
        for index in range(i64(len(names))):
            keys = append(keys, key_of(names[index]))
            counts = append(counts, number(numbers, at + index))
        self._keys, self._counts, self._names = keys, counts, names

    def learn(self, field: i64, key: i64, value: str, limit: float, most_values: int) -> bool:
        """Count one sighting; True if it was the first."""
        at = self._find(field, key)
        weight = self._weights[field] + 1.0
        self._weights[field] = weight
        if at >= 0:
            self._counts[at] += 1.0
        else:
            self._add(field, key, value)
            self._firsts[field] += 1.0
        ends = self._ends
        if weight > limit or (at < 0 and ends[field + 1] - ends[field] > most_values):
            self._halve(field, most_values)
        return at < 0

    def forget(self, field: i64, value: str) -> bool:
        """Count one sighting less; True if none is left."""
        self._weights[field] = max(0.0, self._weights[field] - 1.0)
        at = self._find(field, key_of(value))
        if at < 0:
            return True
        left = self._counts[at] - 1.0
        if left >= 0.5:
            self._counts[at] = left
            return False
        self._replace(field, [entry for entry in self._entries(field) if entry[1] != value])
        self._firsts[field] = max(0.0, self._firsts[field] - 1.0)
        return True

    def rarities(self, keys: vec[i64], prior_firsts: list[float], fresh: list[int]) -> list[float]:
        """How much rarer each value is than the owner's average value of that field, in bits >= 0.

        A known value is compared with the mean count per value. A new one costs ``-log2 P(new)``,
        where P(new) is the Good-Turing share of first sightings (Good 1953) with PRIOR_EVENTS
        pseudo-events, of which ``prior_firsts`` brought a new value. To an owner of whom nothing is
        known everything is new, and nothing surprising; nor is an absent value. Fields whose value
        is no habit yet, seen less than HABIT times or a way of access of an owner of less than
        SETTLED events, are appended to ``fresh``.
        """
        bits = [0.0] * _FIELDS
        ends, weights, counts = self._ends, self._weights, self._counts
        for field in range(i64(_FIELDS)):
            key = keys[field]
            if key == 0:
                continue
            at = self._find(field, key)
            values = ends[field + 1] - ends[field]
            if at < 0:
                fresh.append(int(field))
                if values > 0:
                    prior = prior_firsts[int(field)]
                    total = weights[field] + PRIOR_EVENTS
                    bits[int(field)] = log2(total / (self._firsts[field] + prior))
                continue
            count = counts[at]
            if count < HABIT or self._unsettled(field):
                fresh.append(int(field))
            if count < (mean := weights[field] / float(values)):
                bits[int(field)] = log2(mean / count)
        return bits

    def fresh(self, keys: vec[i64]) -> list[int]:
        """The fields that :meth:`rarities` would find fresh."""
        found: list[int] = []
        for field in range(i64(_FIELDS)):
            if keys[field] == 0:
                continue
            at = self._find(field, keys[field])
            if at < 0 or self._counts[at] < HABIT or self._unsettled(field):
                found.append(int(field))
        return found

    def _unsettled(self, field: i64) -> bool:
        """Whether the field is a way of access of an owner who is too new to have any."""
        return _FIRST_WAY <= field <= _LAST_WAY and self._weights[field] < SETTLED

    def _find(self, field: i64, key: i64) -> i64:
        """Where a value is, or -1."""
        keys = self._keys
        at, end = self._ends[field], self._ends[field + 1]
        while at < end:
            if keys[at] == key:
                return at
            at += 1
        return -1

    def _add(self, field: i64, key: i64, value: str) -> None:
        """A first value, behind the others of its field."""
        keys, counts, ends = append(self._keys, key), append(self._counts, 1.0), self._ends
        to, at = i64(len(keys)) - 1, ends[field + 1]
        while to > at:
            keys[to], counts[to] = keys[to - 1], counts[to - 1]
            to -= 1
        keys[at], counts[at] = key, 1.0
        self._keys, self._counts = keys, counts
        self._names.insert(int(at), value)
        for later in range(field + 1, i64(_FIELDS + 1)):
            ends[later] += 1

    def _halve(self, field: i64, most_values: int) -> None:
        kept = [(key, name, n / 2) for key, name, n in self._entries(field) if n >= 1.0]
        if len(kept) > most_values:
            kept = sorted(kept, key=_count)[-most_values // 2 :]
        self._replace(field, kept)
        self._weights[field] = sum([count for _, _, count in kept])
        self._firsts[field] /= 2

    def _entries(self, field: i64) -> list[tuple[int, str, float]]:
        keys, names, counts, ends = self._keys, self._names, self._counts, self._ends
        places = range(ends[field], ends[field + 1])
        return [(int(keys[at]), names[int(at)], counts[at]) for at in places]

    def _replace(self, field: i64, entries: list[tuple[int, str, float]]) -> None:
        """These instead of all values of a field."""
        begin, end = self._ends[field], self._ends[field + 1]
        keys, counts = self._keys[:begin], self._counts[:begin]
        for key, _, count in entries:
            keys, counts = append(keys, i64(key)), append(counts, count)
        self._keys = extend(keys, self._keys[end:])
        self._counts = extend(counts, self._counts[end:])
        self._names[int(begin) : int(end)] = [name for _, name, _ in entries]
        more = i64(len(entries)) - (end - begin)
        for later in range(field + 1, i64(_FIELDS + 1)):
            self._ends[later] += more


def _count(entry: tuple[int, str, float]) -> float:
    return entry[2]
