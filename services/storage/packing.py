"""Verdicts in a fraction of their JSON, given back byte for byte.

What all verdicts of one version have in common, its *frame*, is kept once: the names of the fields
and detectors, threshold, variant, version. The rest is a list of values. Whatever does not come
back the same is kept as it came.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from alerting.alert import SEVERITY_ORDER

#: Equal in all ordinary verdicts of one version and variant.
COMMON = ("threshold", "variant", "model_version", "degraded")
#: Kept in columns of their own.
COLUMNS = ("event_id", "user_id")
#: A share of ordinary events: from here on an event is among the rarest 1 % of them, by the
#: definition of the calibrated score (``ensemble/calibration.py``).
NOTABLE_SCORE = 0.99

_RANKS = {severity: rank for rank, severity in enumerate(SEVERITY_ORDER)}
_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Frame(msgspec.Struct, array_like=True, frozen=True):
    """Names of the fields and detectors in order, and the values of :data:`COMMON`.

    Without fields it is the frame of verdicts kept as they came.
    """

    fields: tuple[str, ...] = ()
    detectors: tuple[str, ...] = ()
    common: tuple[Any, ...] = ()


AS_IT_CAME = Frame()
PLAIN = msgspec.msgpack.encode(AS_IT_CAME)
"""Its encoded form."""
_FRAME = msgspec.msgpack.Decoder(Frame)


@dataclass(frozen=True, slots=True)
class Packed:
    """One verdict: what it is found by, its encoded frame, and the rest of it.

    ``severity`` is its rank in ``SEVERITY_ORDER``, 0 for what is not flagged; ``reason`` the code
    of its first reason, None for what is not flagged.
    """

    user_id: str
    severity: int
    reason: str | None
    score: float
    frame: bytes
    document: bytes


class Gist(msgspec.Struct, frozen=True):
    """What is to be known of every verdict, a sixth of the work of packing it."""

    user_id: str
    score: float
    is_anomaly: bool


_GIST = msgspec.json.Decoder(Gist)


def gist(event_id: str, verdict: bytes) -> Gist:
    """That of an encoded verdict; raises ValueError for what is none."""
    try:
        return _GIST.decode(verdict)
    except ValueError as error:
        raise _no_verdict(event_id) from error


def pack(event_id: str, verdict: bytes) -> Packed:
    """One encoded verdict, packed; raises ValueError for what is none."""
    fields = _decode_json(verdict)
    try:
        user_id, reasons, score = fields["user_id"], fields["reasons"], float(fields["score"])
        severity = _RANKS[fields["severity"]] if fields["is_anomaly"] else 0
        frame = Frame(
            tuple(fields), tuple(fields["detectors"]), tuple(fields[name] for name in COMMON)
        )
        reason = reasons[0]["code"] if severity and reasons else None
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise _no_verdict(event_id) from error
    if fields["event_id"] != event_id or _encode_json(fields) != verdict:
        return Packed(user_id, severity, reason, score, PLAIN, verdict)
    fields["detectors"] = list(fields["detectors"].values())
    document = _encode([fields[name] for name in _varying(frame.fields)])
    return Packed(user_id, severity, reason, score, _encode(frame), document)


def unpack(frame: Frame, event_id: str, user_id: str, document: bytes) -> bytes:
    """The verdict that was packed."""
    if not frame.fields:
        return document
    fields: dict[str, Any] = dict.fromkeys(frame.fields)
    fields |= dict(zip(COMMON, frame.common, strict=True))
    fields |= {"event_id": event_id, "user_id": user_id}
    fields |= dict(zip(_varying(frame.fields), _decode(document), strict=True))
    fields["detectors"] = dict(zip(frame.detectors, fields["detectors"], strict=True))
    return _encode_json(fields)


def marks_of(code: str) -> tuple[bytes, bytes]:
    """What the document of a verdict with this reason has in it: packed, and as it came.

    No text within a verdict looks like it: in UTF-8 no byte above 0x7f stands between ASCII
    letters, as it does when packed, and in JSON a quotation mark within text is escaped.
    """
    return _encode("code") + _encode(code), b'"code":' + _encode_json(code)


def decode_frame(data: bytes) -> Frame:
    """The frame that ``pack`` encoded."""
    return _FRAME.decode(data)


def _no_verdict(event_id: str) -> ValueError:
    return ValueError(f"event {event_id[:64]!r} has no verdict as ztad makes them")


@lru_cache(maxsize=64)
def _varying(fields: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in fields if name not in COMMON and name not in COLUMNS)
