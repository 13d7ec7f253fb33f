"""``MemoryLog``: alerts for as long as the process lives. For tests, replays and trying rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from alerting.alert import Alert, Occurrence, rank
from alerting.log import (
    FIRST_KEPT,
    LAST_KEPT,
    AlertQuery,
    Delivery,
    DeliveryState,
    News,
    Silence,
)


@dataclass(slots=True)
class _Chain:
    """Events in the order of their arrival; those in the middle of a flood by id only."""

    ids: list[str] = field(default_factory=list)
    first: list[Occurrence] = field(default_factory=list)
    last: list[Occurrence] = field(default_factory=list)

    def add(self, occurrence: Occurrence) -> None:
        self.ids.append(occurrence.verdict.event_id)
        if len(self.first) < FIRST_KEPT:
            self.first.append(occurrence)
            return
        self.last = [*self.last[-(LAST_KEPT - 1) :], occurrence]


class MemoryLog:
    """Follows ``alerting.log.FullLog``. Each method runs without a pause, so it is atomic."""

    def __init__(self) -> None:
        self._alerts: dict[str, Alert] = {}
        self._chains: dict[str, _Chain] = {}
        self._latest: dict[str, str] = {}
        self._events: dict[str, str] = {}
        self._news: dict[str, News] = {}
        self._silences: dict[str, Silence] = {}
        self._deliveries: dict[str, Delivery] = {}

    async def known(self, event_ids: Sequence[str]) -> set[str]:
        return {event_id for event_id in event_ids if event_id in self._events}

    async def latest(self, subject: str) -> Alert | None:
        return self._alerts.get(self._latest.get(subject, ""))

    async def join(
        self, alerts: Sequence[Alert], occurrences: Sequence[tuple[str, Occurrence]]
    ) -> None:
        for alert in alerts:
            self._alerts[alert.alert_id] = alert
            self._latest[alert.subject] = alert.alert_id
        for alert_id, occurrence in occurrences:
            self._events[occurrence.verdict.event_id] = alert_id
            self._chains.setdefault(alert_id, _Chain()).add(occurrence)

    async def save(self, alert: Alert) -> None:
        self._alerts[alert.alert_id] = alert

    async def due(self, now_s: float, limit: int) -> list[Alert]:
        due = [a for a in self._alerts.values() if a.notify_s is not None and a.notify_s <= now_s]
        return sorted(due, key=lambda a: (-rank(a.severity), a.notify_s, a.alert_id))[:limit]

    async def next_notify(self) -> float | None:
        times = (alert.notify_s for alert in self._alerts.values())
        return min((at_s for at_s in times if at_s is not None), default=None)

    async def news(self, fingerprints: Sequence[str]) -> dict[str, News]:
        return {print_: self._news[print_] for print_ in fingerprints if print_ in self._news}

    async def told(
        self, alert: Alert, deliveries: Sequence[Delivery], news: Mapping[str, News]
    ) -> None:
        self._alerts[alert.alert_id] = alert
        self._news |= news
        for delivery in deliveries:
            old = [
                each
                for each in self._deliveries.values()
                if each.alert_ids == delivery.alert_ids
                and each.kind == "alert"
                and each.channel == delivery.channel
                and each.state in ("held", "waiting")
            ]
            if delivery.state == "held" and any(each.state == "waiting" for each in old):
                continue
            for each in old:
                del self._deliveries[each.delivery_id]
            self._deliveries[delivery.delivery_id] = delivery

    async def alert(self, alert_id: str) -> Alert | None:
        return self._alerts.get(alert_id)

    async def chain(self, alert_id: str, *, first: int, last: int) -> list[Occurrence]:
        chain = self._chains.get(alert_id, _Chain())
        ordered = sorted(
            (*chain.first, *chain.last), key=lambda each: (each.at_s, each.verdict.event_id)
        )
        if len(ordered) <= first + last:
            return ordered
        return ordered[:first] + ordered[len(ordered) - last :]

    async def alerts(self, query: AlertQuery) -> list[Alert]:
        found = [alert for alert in self._alerts.values() if self._asked(query, alert)]
        found.sort(key=lambda alert: (alert.opened_s, alert.alert_id), reverse=True)
        return found[: query.limit]

    async def silences(self, now_s: float) -> list[Silence]:
        return [silence for silence in self._silences.values() if silence.until_s > now_s]

    async def silence(self, silence: Silence) -> None:
        self._silences[silence.silence_id] = silence

    async def prune(self, before_s: float) -> int:
        unsent = {
            alert_id
            for delivery in self._deliveries.values()
            if delivery.state in ("held", "waiting", "sending")
            for alert_id in delivery.alert_ids
        }
        old = [
            alert
            for alert in self._alerts.values()
            if alert.updated_s < before_s
            and alert.notify_s is None
            and alert.alert_id not in unsent
        ]
        for alert in old:
            self._forget(alert)
        self._news = {key: each for key, each in self._news.items() if each.at_s >= before_s}
        self._silences = {
            key: each for key, each in self._silences.items() if each.until_s >= before_s
        }
        return len(old)

    async def resume(self) -> int:
        sending = [each for each in self._deliveries.values() if each.state == "sending"]
        for delivery in sending:
            self._deliveries[delivery.delivery_id] = replace(delivery, state="waiting")
        return len(sending)

    async def waiting(self, channel: str, now_s: float) -> Delivery | None:
        due = [
            each
            for each in self._deliveries.values()
            if each.channel == channel and each.state == "waiting" and each.due_s <= now_s
        ]
        return min(
            due,
            key=lambda each: (
                each.attempts,
                -rank(each.severity),
                each.created_s,
                each.delivery_id,
            ),
            default=None,
        )

    async def next_due(self, channel: str) -> float | None:
        return min(
            (
                each.due_s
                for each in self._deliveries.values()
                if each.channel == channel and each.state in ("held", "waiting")
            ),
            default=None,
        )

    async def put(self, delivery: Delivery) -> None:
        self._deliveries[delivery.delivery_id] = delivery

    async def held(self, channel: str) -> list[Delivery]:
        held = [
            each
            for each in self._deliveries.values()
            if each.channel == channel and each.state == "held"
        ]
        return sorted(held, key=lambda each: (each.created_s, each.delivery_id))

    async def digest(self, digest: Delivery) -> None:
        for each in await self.held(digest.channel):
            del self._deliveries[each.delivery_id]
        self._deliveries[digest.delivery_id] = digest

    async def deliveries(self, alert_id: str) -> list[Delivery]:
        found = [each for each in self._deliveries.values() if alert_id in each.alert_ids]
        return sorted(found, key=lambda each: (each.created_s, each.delivery_id))

    async def sent_since(self, channel: str, since_s: float) -> list[float]:
        return sorted(
            each.created_s
            for each in self._deliveries.values()
            if each.channel == channel
            and each.kind == "alert"
            and each.state != "held"
            and each.created_s >= since_s
        )

    async def expire(
        self, channels: Collection[str], *, before_s: float, now_s: float, problem: str
    ) -> int:
        old = [
            each
            for each in self._deliveries.values()
            if each.channel not in channels
            and each.state in ("held", "waiting")
            and each.created_s < before_s
        ]
        for each in old:
            self._deliveries[each.delivery_id] = replace(
                each, state="failed", finished_s=now_s, problem=each.problem or problem
            )
        return len(old)

    async def counts(self) -> dict[tuple[str, DeliveryState], int]:
        return dict(Counter((each.channel, each.state) for each in self._deliveries.values()))

    def alert_of(self, event_id: str) -> str | None:
        """The alert that an event belongs to."""
        return self._events.get(event_id)

    def _asked(self, query: AlertQuery, alert: Alert) -> bool:
        return (
            (
                query.severity_at_least is None
                or rank(alert.severity) >= rank(query.severity_at_least)
            )
            and query.user in (None, *alert.users)
            and query.address in (None, *alert.addresses)
            and (query.reason is None or query.reason in alert.reasons)
            and query.status in (None, alert.status)
            and (query.since_s is None or alert.opened_s >= query.since_s)
            and (query.until_s is None or alert.opened_s < query.until_s)
            and (query.after is None or (alert.opened_s, alert.alert_id) < query.after)
            and ((query.channel is None and query.delivery is None) or self._sent_as(query, alert))
        )

    def _sent_as(self, query: AlertQuery, alert: Alert) -> bool:
        return any(
            alert.alert_id in each.alert_ids
            and query.channel in (None, each.channel)
            and query.delivery in (None, each.state)
            for each in self._deliveries.values()
        )

    def _forget(self, alert: Alert) -> None:
        chain = self._chains.pop(alert.alert_id, _Chain())
        for event_id in chain.ids:
            self._events.pop(event_id, None)
        del self._alerts[alert.alert_id]
        if self._latest.get(alert.subject) == alert.alert_id:
            del self._latest[alert.subject]
        for each in list(self._deliveries.values()):
            if self._alerts.keys().isdisjoint(each.alert_ids):
                del self._deliveries[each.delivery_id]
