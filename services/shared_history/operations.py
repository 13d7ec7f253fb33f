"""What replicas of a history tell each other: operations, each of which may be repeated safely.

An event id is observed once, an event is learned once and a thing said is heard once, however often
an operation comes. So whoever does not know whether an operation got through sends it again.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.feedback import Feedback
from preprocessing.history import Facts

#: Changes whenever an operation holds something else; part of the names of all keys.
FORMAT = 1


class Observed(msgspec.Struct, array_like=True, tag="o", frozen=True):
    """Events were observed, at ``now_s`` by the clock of who observed them."""

    now_s: float
    events: Sequence[AuthEvent]


class Stepped(msgspec.Struct, array_like=True, tag="s", frozen=True):
    """Events that were observed join the trails of their users: a step of each, one by one.

    What a step is, is worked out by whoever observed the event, and known to the others only
    afterwards. So it joins with the next operation of that one, everywhere.
    """

    user_ids: list[str]
    steps: bytes


class Learned(msgspec.Struct, array_like=True, tag="l", frozen=True):
    """Events joined the baseline."""

    event_ids: list[str]


class Corrected(msgspec.Struct, array_like=True, tag="c", frozen=True):
    """Analysts said something."""

    feedback: Sequence[Feedback]


class Replaced(msgspec.Struct, array_like=True, tag="r", frozen=True):
    """The history is another one from here on: the base, and what was done since the base."""


Operation = Observed | Stepped | Learned | Corrected | Replaced

_ENCODE = msgspec.msgpack.Encoder().encode
_DECODER: msgspec.msgpack.Decoder[Operation] = msgspec.msgpack.Decoder(Operation)


@dataclass(frozen=True, slots=True)
class Sent:
    """An operation on its way, under a number of its own by which it is recognised."""

    operation: Operation
    payload: bytes
    number: str


def sent(operation: Operation) -> Sent:
    """The operation, ready to be sent."""
    return Sent(operation, _ENCODE(operation), str(secrets.randbits(63)))


def decode(payload: bytes) -> Operation:
    """The operation somebody sent; raises ``msgspec.DecodeError``."""
    return _DECODER.decode(payload)


def stepped(events: Sequence[AuthEvent], facts: Facts) -> Stepped:
    """What is to be told of events that were observed; nothing of late and repeated ones."""
    rows = np.flatnonzero(~(facts.late | facts.duplicate)).tolist()
    return Stepped([events[row].user_id for row in rows], facts.trails[rows, -1].tobytes())


def repeat(operation: Operation, history: EmbeddedHistory) -> None:
    """Do what somebody else did."""
    if isinstance(operation, Observed):
        history.replay(operation.events, None, now_s=operation.now_s)
    elif isinstance(operation, Stepped):
        history.join(operation.user_ids, operation.steps)
    elif isinstance(operation, Learned):
        history.learn(operation.event_ids)
    elif isinstance(operation, Corrected):
        history.correct(operation.feedback)
