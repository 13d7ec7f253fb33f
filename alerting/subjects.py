"""Whom an event is about: its user, the address it came from, or a wave of failures.

A success is always its user's: a takeover stands by itself. A failure is its user's as long as only
that user is concerned. Failures at several users from one address are about the address; when many
users and addresses fail at once, further ones are one wave.
"""

from __future__ import annotations

from alerting.alert import WAVE, Alert, Occurrence
from alerting.log import AlertLog, AlertQuery
from alerting.rules import Grouping

#: Alerts looked through for what else comes from an address, or how many fail at once.
MOST_LOOKED_AT = 200


class Subjects:
    """The subjects of one batch of events. ``touched`` are the alerts that took some of them."""

    def __init__(self, log: AlertLog, grouping: Grouping, now_s: float) -> None:
        self.touched: dict[str, Alert] = {}
        self.related: list[Alert] = []
        """The alerts that made the last event's failure one of many."""
        self._log = log
        self._grouping = grouping
        self._now_s = now_s

    async def open(self, subject: str) -> Alert | None:
        """The subject's alert that still takes events."""
        if subject in self.touched:
            return self.touched[subject]
        alert = await self._log.latest(subject)
        goes_on = alert is not None and self._grouping.goes_on(alert, self._now_s)
        return alert if goes_on else None

    async def of(self, occurrence: Occurrence) -> str:
        """Whom an event is about."""
        self.related = []
        user, address = f"user:{occurrence.verdict.user_id}", occurrence.address
        if occurrence.succeeded is not False:
            return user
        own = await self.open(user)
        if own is not None and (not address or address in own.addresses):
            return user
        if address and await self._is_shared(address, user):
            return f"address:{address}"
        if own is None and await self._is_wave():
            return WAVE
        return user

    async def _is_shared(self, address: str, user: str) -> bool:
        """Whether others fail from there as well."""
        if await self.open(f"address:{address}") is not None:
            return True
        query = AlertQuery(address=address, since_s=self._since_s(), limit=MOST_LOOKED_AT)
        self.related = [
            each
            for each in await self._failing(query)
            if each.subject.startswith("user:")
            and each.subject != user
            and address in each.addresses
        ]
        return bool(self.related)

    async def _is_wave(self) -> bool:
        """Whether as many alerts of failures alone were opened lately as make a wave."""
        wave = self._grouping.wave
        if not wave.alerts:
            return False
        if await self.open(WAVE) is not None:
            return True
        query = AlertQuery(since_s=self._now_s - wave.within, limit=MOST_LOOKED_AT)
        self.related = await self._failing(query)
        return len(self.related) >= wave.alerts

    async def _failing(self, query: AlertQuery) -> list[Alert]:
        """Alerts of failures alone, those of this batch included."""
        found = {each.alert_id: each for each in await self._log.alerts(query)}
        mine = [each for each in self.touched.values() if each.opened_s >= (query.since_s or 0.0)]
        found |= {each.alert_id: each for each in mine}
        return [
            each
            for each in found.values()
            if not each.successes and self._grouping.goes_on(each, self._now_s)
        ]

    def _since_s(self) -> float:
        return self._now_s - self._grouping.longest
