"""What replicas of a history tell each other: operations, each of which may be repeated safely.

An event id is observed once, an event is learned once and a thing said is heard once, however often
an operation comes. So whoever does not know whether an operation got through sends it again.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.feedback import Feedback

#: Changes whenever an operation holds something else; part of the names of all keys.
FORMAT = 1


class Observed(msgspec.Struct, array_like=True, tag="o", frozen=True):
    """Events were observed, at ``now_s`` by the clock of who observed them."""

    now_s: float
    events: Sequence[AuthEvent]


class Learned(msgspec.Struct, array_like=True, tag="l", frozen=True):
    """Events joined the baseline."""

    event_ids: list[str]


class Corrected(msgspec.Struct, array_like=True, tag="c", frozen=True):
    """Analysts said something."""

    feedback: Sequence[Feedback]


class Replaced(msgspec.Struct, array_like=True, tag="r", frozen=True):
    """The history is another one from here on: the base, and what was done since the base."""


Operation = Observed | Learned | Corrected | Replaced

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


def repeat(operation: Operation, history: EmbeddedHistory) -> None:
    """Do what somebody else did."""
    if isinstance(operation, Observed):
        history.observe(operation.events, now_s=operation.now_s)
    elif isinstance(operation, Learned):
        history.learn(operation.event_ids)
    elif isinstance(operation, Corrected):
        history.correct(operation.feedback)
