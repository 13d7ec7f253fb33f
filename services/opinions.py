"""``Opinions``: what analysts say of events, on record, and what it does to alerts.

The Recorder owns it; what it does to the history is ``preprocessing/correcting.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from glob import escape
from typing import TypeVar

import msgspec

from alerting.log import Matchers, Silence
from ensemble.reasons import REASONS
from ensemble.verdict import Verdict
from preprocessing.feedback import Disposition, Feedback
from services.alerting import Alerts
from services.storage.base import Kept, Opinion, Store

LOG = logging.getLogger("ztad.recorder")

T = TypeVar("T")
Ask = Callable[[Callable[[Store], Awaitable[T]]], Awaitable[T]]

#: A user is not alerted for a reason that was benign and true for so long, seconds.
BENIGN_S = 30 * 86400.0
#: Feedback that is handed to a history at once.
AT_ONCE = 200

_VERDICT = msgspec.json.Decoder(Verdict)


class Superseded(ValueError):
    """What is to be taken back is not in force: something else was said of the event since."""


async def say(
    store: Store,
    alerts: Alerts,
    event_id: str,
    disposition: Disposition | None,
    *,
    by: str,
    comment: str,
    now_s: float,
) -> Opinion | None:
    """Put it on record, and close or open again what it is about; None for an unknown event.

    An alert that cannot be closed now is told in the log: the feedback counts.
    """
    earlier = await store.opinions(event_id=event_id, limit=1)
    said = await store.say(event_id, disposition, by, comment, now_s)
    if said is None:
        return None
    try:
        if earlier and earlier[0].disposition == "benign_true":
            await alerts.end_silence(silence_id(earlier[0]), now_s)
        if disposition in ("safe", "benign_true"):
            note = f"{disposition}: {comment}" if comment else disposition
            await alerts.close_of(event_id, said.user_id, by, note[:1000])
        if disposition == "benign_true":
            await _silence(alerts, said, await store.get(event_id))
    except Exception:
        LOG.exception("feedback %d is on record; its alert is as it was", said.serial)
    return said


async def take_back(
    store: Store, alerts: Alerts, serial: int, *, by: str, now_s: float
) -> Opinion | None:
    """Take back what was said under a serial; None if there is no such, raises Superseded."""
    said = await store.opinion(serial)
    if said is None:
        return None
    (last,) = await store.opinions(event_id=said.event_id, limit=1)
    if last.serial != serial or last.disposition is None:
        raise Superseded(f"feedback {serial} is not in force any more; {last.serial} came after it")
    return await say(store, alerts, said.event_id, None, by=by, comment="", now_s=now_s)


def heard(opinion: Opinion) -> Feedback:
    """What a history is told."""
    return Feedback(opinion.serial, opinion.disposition, opinion.event, opinion.whole)


def silence_id(opinion: Opinion) -> str:
    """The silence that a ``benign_true`` begins."""
    return f"feedback-{opinion.serial}"


async def _silence(alerts: Alerts, said: Opinion, kept: Kept | None) -> None:
    verdict = _VERDICT.decode(kept.verdict) if kept is not None else None
    code = verdict.reasons[0].code if verdict is not None and verdict.reasons else None
    if code not in REASONS:
        return  # nothing was alerted
    await alerts.silence(
        Silence(
            silence_id=silence_id(said),
            matchers=Matchers(users=(escape(said.user_id),), reasons=(code,), no_other_reason=True),
            from_s=said.at_s,
            until_s=said.at_s + BENIGN_S,
            created_by=said.by,
            comment=f"benign_true: {said.comment or said.event_id}"[:1000],
        )
    )
