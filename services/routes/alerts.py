"""``/v1/alerts`` and ``/v1/silences``: the analyst's queue. The Recorder keeps and answers it."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

import msgspec
from pydantic import ValidationError

from alerting.alert import SEVERITY_ORDER
from alerting.log import AlertQuery, DeliveryState, Matchers, Silence, Status
from alerting.stages.silence import condition_of
from alerting.strict import problems, seconds
from services.http import JSON, HttpError, Response
from services.routes.base import Request, Route
from services.routes.query import choice, instant, limit, only_known

T = TypeVar("T")

MOST_ALERTS = 200
DEFAULT_ALERTS = 50
#: A silence that is meant to last is a rule, and belongs in the rules file.
MOST_SILENCE_S = 30 * 86400.0

#: What ``GET /v1/alerts`` can be asked for.
PARAMETERS = ("severity", "user", "address", "reason", "status", "channel", "delivery", "since",
               "until", "after", "limit")  # fmt: skip


@dataclass(frozen=True, slots=True)
class AlertLookups:
    """The Recorder's methods of the same names, see ``services.alerting.Alerts``."""

    alerts: Callable[[AlertQuery], Awaitable[bytes]]
    alert: Callable[[str], Awaitable[bytes | None]]
    acknowledge: Callable[[str, str, str], Awaitable[bytes | None]]
    silences: Callable[[], Awaitable[bytes]]
    silence: Callable[[Silence], Awaitable[bytes]]
    end_silence: Callable[[str, float], Awaitable[bytes | None]]


class _NewSilence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``POST /v1/silences`` takes."""

    comment: str
    duration: str
    matchers: Matchers


class _Acknowledgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``POST /v1/alerts/{id}/ack`` takes; an empty body too."""

    note: str = ""


class AlertRoutes:
    """Pages of alerts, one alert whole, acknowledgements and silences."""

    def __init__(self, lookups: AlertLookups, now: Callable[[], float] = time.time) -> None:
        self._lookups = lookups
        self._now = now

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/alerts", self.alerts),
            Route("GET", "/v1/alerts/{id}", self.alert),
            Route("POST", "/v1/alerts/{id}/ack", self.acknowledge, "admin"),
            Route("GET", "/v1/silences", self.silences),
            Route("POST", "/v1/silences", self.silence, "admin"),
            Route("DELETE", "/v1/silences/{id}", self.end_silence, "admin"),
        ]

    async def alerts(self, request: Request) -> Response:
        """GET /v1/alerts"""
        return Response(200, await self._lookups.alerts(asked(request.query())))

    async def alert(self, request: Request) -> Response:
        """GET /v1/alerts/{id}"""
        return _found(await self._lookups.alert(request.params["id"]), "alert")

    async def acknowledge(self, request: Request) -> Response:
        """POST /v1/alerts/{id}/ack"""
        body = await request.body()
        given = _decoded(request, body, _Acknowledgement) if body.strip() else _Acknowledgement()
        note = _short("note", given.note)
        by = request.caller or "anyone"
        done = await self._lookups.acknowledge(request.params["id"], by, note)
        return _found(done, "alert")

    async def silences(self, request: Request) -> Response:
        """GET /v1/silences"""
        return Response(200, await self._lookups.silences())

    async def silence(self, request: Request) -> Response:
        """POST /v1/silences"""
        given = _decoded(request, await request.body(), _NewSilence)
        silence = new_silence(
            given.matchers,
            duration=given.duration,
            comment=given.comment,
            by=request.caller or "anyone",
            now_s=self._now(),
        )
        return Response(201, await self._lookups.silence(silence))

    async def end_silence(self, request: Request) -> Response:
        """DELETE /v1/silences/{id}"""
        return _found(await self._lookups.end_silence(request.params["id"], self._now()), "silence")


def asked(query: dict[str, str]) -> AlertQuery:
    """The parameters of ``GET /v1/alerts``; raises 422 naming the one at fault."""
    only_known(query, PARAMETERS)
    given: dict[str, Any] = {
        "severity_at_least": choice(query, "severity", SEVERITY_ORDER),
        "status": choice(query, "status", get_args(Status)),
        "delivery": choice(query, "delivery", get_args(DeliveryState)),
        "user": query.get("user"),
        "address": query.get("address"),
        "reason": query.get("reason"),
        "channel": query.get("channel"),
        "since_s": instant(query, "since"),
        "until_s": instant(query, "until"),
        "after": _place(query),
        "limit": limit(query, default=DEFAULT_ALERTS, most=MOST_ALERTS),
    }
    return AlertQuery(**given)


def new_silence(
    matchers: Matchers, *, duration: str, comment: str, by: str, now_s: float
) -> Silence:
    """A silence from now on; raises 422 for one that covers everything or cannot be meant."""
    if matchers == Matchers():
        message = "expected users, addresses, reasons or severity_below: what shall be silent"
        raise HttpError(422, "matchers", message)
    try:
        condition_of(matchers)
    except ValidationError as error:
        raise HttpError(422, "matchers", "; ".join(problems(error))) from None
    try:
        lasts_s = seconds(duration)
    except ValueError as error:
        raise HttpError(422, "duration", str(error)) from None
    if not 0 < lasts_s <= MOST_SILENCE_S:
        message = "expected at most 30d; what is to last belongs in the rules file"
        raise HttpError(422, "duration", message)
    if not comment.strip():
        raise HttpError(422, "comment", "expected why, for whoever wonders about the silence")
    return Silence(
        silence_id=secrets.token_hex(6),
        matchers=matchers,
        from_s=now_s,
        until_s=now_s + lasts_s,
        created_by=by,
        comment=_short("comment", comment),
    )


def _place(query: dict[str, str]) -> tuple[float, str] | None:
    if "after" not in query:
        return None
    opened, _, alert_id = query["after"].partition("_")
    try:
        opened_s = float(opened)
    except ValueError:
        opened_s = math.nan
    if not math.isfinite(opened_s) or not alert_id:
        raise HttpError(422, "after", "expected what the page before gave as next")
    return opened_s, alert_id


def _decoded(request: Request, body: bytes, kind: type[T]) -> T:
    if request.media_type() != JSON:
        raise HttpError(415, "content-type", "expected application/json")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HttpError(422, "body", str(error)[:300]) from None


def _short(field: str, text: str) -> str:
    if len(text) > 1000:
        raise HttpError(422, field, "expected at most 1,000 characters")
    return text


def _found(answer: bytes | None, what: str) -> Response:
    if answer is None:
        raise HttpError(404, f"{what}_id", f"no {what} of that id, or it is not kept any more")
    return Response(200, answer)
