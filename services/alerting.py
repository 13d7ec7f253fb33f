"""``Alerts``: the alert pipeline as the Recorder runs it, off the scoring path.

The Recorder tells it what it has recorded, and passes on what the gateway's routes ask: encoded
answers go in and out, so that nothing but bytes and small structs travels between deployments.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from alerting.alert import Alert
from alerting.clock import Clock
from alerting.document import alert_document, chain_document, delivery_document, instant
from alerting.log import AlertQuery, FullLog, Silence
from alerting.notifiers import make
from alerting.notifiers.base import Notifier
from alerting.observing import Observe, unobserved
from alerting.pipeline import Known, UnknownAlert
from alerting.rules import Rules
from alerting.rules_file import RulesFile
from alerting.runner import Runner, State
from alerting.secret import Secrets
from ensemble.verdict import Verdict
from preprocessing.event import AuthEvent
from preprocessing.history import Evidence
from services import alert_metrics
from services.wire import Recorded

LOG = logging.getLogger("ztad.recorder")

#: The newest alerts of a user among which that of an event is looked for.
MOST_LOOKED_AT = 50

_VERDICT = msgspec.json.Decoder(Verdict)
_EVIDENCE = msgspec.msgpack.Decoder(Evidence)
_ENCODE = msgspec.json.Encoder().encode


class Alerts:
    """Alerts of what was recorded. ``rules_path`` may be absent, broken or mended at any time:
    until there are rules alerts are kept and sent nowhere."""

    def __init__(
        self,
        rules_path: Path | None,
        log: FullLog,
        observe: Observe = unobserved,
        clock: Clock | None = None,
    ) -> None:
        secrets = Secrets(os.environ)

        def notifiers(rules: Rules) -> Mapping[str, Notifier]:
            return {name: make(name, each, secrets) for name, each in rules.channels.items()}

        file = RulesFile(rules_path)
        self._runner = Runner(file, notifiers, log, clock, observe)

    async def start(self) -> None:
        """Begin to deliver in the background, first what an earlier run left unfinished."""
        await self._runner.start()

    async def close(self) -> None:
        """Stop delivering; what waits is delivered after the next start."""
        await self._runner.close()

    async def offer(self, recorded: Recorded) -> int:
        """Make alerts of the flagged rows; how many alerts were touched. Waits for no channel.

        Offered again, after a retry of the Recorder, they change nothing.
        """
        if recorded.shadow or not recorded.alerts:
            return 0
        verdicts = [verdict for row in recorded.alerts if (verdict := _verdict(recorded, row))]
        return await self._runner.offer(verdicts, _known(recorded))

    async def state(self) -> State:
        """Counts for metrics."""
        return await self._runner.state()

    async def metrics(self) -> bytes:
        """Prometheus' text format, see docs/metrics.md."""
        return alert_metrics.page(await self._runner.state())

    async def alerts(self, query: AlertQuery) -> bytes:
        """``{"alerts": [...], "next": cursor or null}``, newest first."""
        one_more = msgspec.structs.replace(query, limit=query.limit + 1)
        found = await self._runner.alerts(one_more)
        page = found[: query.limit]
        after = cursor(page[-1]) if len(found) > query.limit else None
        return _ENCODE({"alerts": [alert_document(alert) for alert in page], "next": after})

    async def alert(self, alert_id: str) -> bytes | None:
        """An alert with its chain and what was sent of it; None if it is not kept."""
        try:
            alert, chain, deliveries = await self._runner.alert(alert_id)
        except UnknownAlert:
            return None
        told: dict[str, Any] = alert_document(alert)
        told["chain"] = chain_document(chain)
        told["omitted"] = max(0, alert.events - len(chain))
        told["deliveries"] = [delivery_document(each) for each in deliveries]
        return _ENCODE(told)

    async def acknowledge(self, alert_id: str, by: str, note: str) -> bytes | None:
        """The alert, acknowledged; None if it is not kept."""
        try:
            alert = await self._runner.acknowledge(alert_id, by=by, note=note)
        except UnknownAlert:
            return None
        return _ENCODE(alert_document(alert))

    async def close_of(self, event_id: str, user_id: str, by: str, note: str) -> None:
        """Acknowledge the alert that an event belongs to, if it is kept."""
        for alert in await self._runner.alerts(AlertQuery(user=user_id, limit=MOST_LOOKED_AT)):
            _, chain, _ = await self._runner.alert(alert.alert_id)
            if any(each.verdict.event_id == event_id for each in chain):
                await self._runner.acknowledge(alert.alert_id, by=by, note=note)
                return

    async def silences(self) -> bytes:
        """``{"silences": [...]}``: those that are not over."""
        found = await self._runner.silences()
        return _ENCODE({"silences": [_silence_document(each) for each in found]})

    async def silence(self, silence: Silence) -> bytes:
        """Add a silence."""
        await self._runner.silence(silence)
        return _ENCODE(_silence_document(silence))

    async def end_silence(self, silence_id: str, now_s: float) -> bytes | None:
        """End a silence before its time; None if there is none of that id."""
        for silence in await self._runner.silences():
            if silence.silence_id == silence_id:
                return await self.silence(msgspec.structs.replace(silence, until_s=now_s))
        return None


def cursor(alert: Alert) -> str:
    """Where the page after this alert begins, for ``?after=``."""
    return f"{alert.opened_s!r}_{alert.alert_id}"


def _verdict(recorded: Recorded, row: int) -> Verdict | None:
    """A verdict; None if it was recorded by a ztad that wrote others: the rest must not wait."""
    try:
        return _VERDICT.decode(recorded.verdicts[row])
    except msgspec.DecodeError as error:
        LOG.error("event %s becomes no alert: %s", recorded.event_ids[row], error)
        return None


def _evidence(encoded: bytes) -> Evidence | None:
    try:
        return _EVIDENCE.decode(encoded)
    except msgspec.DecodeError as error:
        LOG.error("an alert is told without its event: %s", error)
        return None


def _known(recorded: Recorded) -> Known:
    times = np.frombuffer(recorded.stamps, np.float64)
    events: dict[str, AuthEvent] = {}
    for row in recorded.alerts:
        encoded = recorded.evidence.get(row)
        known = None if encoded is None else _evidence(encoded)
        if known is not None:
            events[recorded.event_ids[row]] = known.event
    return Known(
        events=events,
        times={recorded.event_ids[row]: float(times[row]) for row in recorded.alerts},
        traces={
            recorded.event_ids[row]: recorded.traces[row]
            for row in recorded.alerts
            if row in recorded.traces
        },
    )


def _silence_document(silence: Silence) -> dict[str, Any]:
    return {
        "silence_id": silence.silence_id,
        "matchers": silence.matchers,
        "from": instant(silence.from_s),
        "until": instant(silence.until_s),
        "created_by": silence.created_by,
        "comment": silence.comment,
    }
