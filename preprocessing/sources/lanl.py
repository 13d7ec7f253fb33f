"""LANL Comprehensive Multi-Source Cyber-Security Events: authentication (Kent 2015).

CSV with the header ``time,src_user,dst_user,src_computer,dst_computer,auth_type,logon_type,
auth_orientation,outcome``; names are anonymised, ``?`` is absent. How fields map:

=================  ================================================================================
field              from
=================  ================================================================================
timestamp          ``time``, whole seconds after ``EPOCH``. The data set hides its own start; ours
                   is a Thursday, so weekdays are arbitrary but consistent
user_id            ``src_user`` with its domain
outcome            ``Success``, ``Fail``
action             LogOn, ScreenUnlock, TGT -> login (a TGT is the Kerberos sign-on itself);
                   TGS, AuthMap -> access (a ticket for one service); LogOff, ScreenLock -> logout
auth_kind          machine accounts (``C123$@DOM``), ANONYMOUS LOGON, SYSTEM, LOCAL SERVICE, NETWORK
                   SERVICE and the logon types Service and Batch -> service; then TGT, TGS, AuthMap
                   -> token (requested by software, not typed); the rest -> interactive
auth_method        NTLM and MICROSOFT_AUTHENTICATION_PACKAGE (often cut off) -> password;
                   Kerberos -> sso; Negotiate, which picks one of the two -> password where someone
                   sits and types (Interactive, Unlock, RemoteInteractive, CachedInteractive), else
                   sso; TGS -> token; ``?`` otherwise absent
device_id          ``src_computer``
resource           ``dst_computer``
user_agent         ``auth_orientation/auth_type/logon_type`` as they stand, such as
                   ``LogOn/NTLM/Network``, and ``/dst_user`` without its domain if that is another
                   account than the source's: nothing the mapping joins is lost
=================  ================================================================================

Labels: :func:`redteam_labels` joins the list of red-team logons to the events' ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from preprocessing.event import AuthEvent, InvalidEvent, LineIds, from_mapping
from preprocessing.sources.base import (
    Item,
    Rejected,
    Report,
    SourceError,
    SourceOptions,
    without_bom,
)

EPOCH = datetime(2015, 1, 1, tzinfo=UTC)
HEADER = (
    "time,src_user,dst_user,src_computer,dst_computer,auth_type,logon_type,auth_orientation,outcome"
)
REDTEAM_HEADER = "time,user,src_computer,dst_computer"
REDTEAM = "red_team"

_ACTIONS = {
    "LogOn": "login",
    "ScreenUnlock": "login",
    "TGT": "login",
    "TGS": "access",
    "AuthMap": "access",
    "LogOff": "logout",
    "ScreenLock": "logout",
}
_TOKENS = frozenset({"TGT", "TGS", "AuthMap"})
_OUTCOMES = {"Success": "success", "Fail": "failure"}
_SYSTEM = frozenset({"ANONYMOUS LOGON", "SYSTEM", "LOCAL SERVICE", "NETWORK SERVICE"})
_TYPED = frozenset({"Interactive", "Unlock", "RemoteInteractive", "CachedInteractive"})
_COLUMNS = len(HEADER.split(","))


def read(
    lines: Iterable[bytes], *, options: SourceOptions, report: Report | None = None
) -> Iterator[Item]:
    """Rows -> events. SourceError if the header is not LANL's."""
    ids = LineIds()
    for number, raw in _rows(lines, HEADER):
        try:
            event = _event(raw, options.now_s)
        except InvalidEvent as error:
            yield Rejected.of(error, number, raw)
            continue
        yield msgspec.structs.replace(event, event_id=ids(raw))


def redteam_labels(
    auth_lines: Iterable[bytes], redteam_lines: Iterable[bytes]
) -> Iterator[tuple[str, str]]:
    """``(event_id, "red_team")`` of every event whose time, user and computers are on the list.

    Both inputs with their headers; ids are those :func:`read` gives. A row :func:`read` would
    refuse takes no id there; so it takes none here.
    """
    listed = {tuple(_cells(raw)) for _, raw in _rows(redteam_lines, REDTEAM_HEADER)}
    options = SourceOptions(now_s=datetime.now(UTC).timestamp())
    ids = LineIds()
    for _, raw in _rows(auth_lines, HEADER):
        try:
            _event(raw, options.now_s)
        except InvalidEvent:
            continue
        event_id = ids(raw)
        time, user, _, source, target, *_ = _cells(raw)
        if (time, user, source, target) in listed:
            yield event_id, REDTEAM


def _rows(lines: Iterable[bytes], header: str) -> Iterator[tuple[int, bytes]]:
    """Numbered rows below the header; blank lines are left out."""
    numbered = enumerate(without_bom(lines), 1)
    _, first = next(numbered, (1, b""))
    if first.strip() != header.encode():
        raise SourceError("LANL", f"expected the header {header}")
    return ((number, raw) for number, raw in numbered if raw.strip())


def _cells(raw: bytes) -> list[str]:
    return raw.decode("utf-8", "replace").rstrip("\r\n").split(",")


def _event(raw: bytes, now_s: float) -> AuthEvent:
    cells = _cells(raw)
    if len(cells) != _COLUMNS:
        raise InvalidEvent("row", f"expected {_COLUMNS} cells, got {len(cells)}")
    time, user, target_user, source, target, auth_type, logon, orientation, outcome = cells
    row: dict[str, Any] = {
        "timestamp": _timestamp(time),
        "user_id": user,
        "outcome": _mapped("outcome", outcome, _OUTCOMES),
        "action": _mapped("auth_orientation", orientation, _ACTIONS),
        "auth_kind": _kind(user, logon, orientation),
        "auth_method": _method(auth_type, logon, orientation),
        "device_id": None if source == "?" else source,
        "resource": None if target == "?" else target,
        "user_agent": f"{orientation}/{auth_type}/{logon}",
    }
    if target_user != user:
        row["user_agent"] += "/" + target_user.partition("@")[0]
    return from_mapping(row, raw, now_s=now_s)


def _timestamp(seconds: str) -> datetime:
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 10):
        raise InvalidEvent("time", f"expected whole seconds, got {seconds[:40]!r}")
    return EPOCH + timedelta(seconds=int(seconds))


def _mapped(column: str, value: str, known: dict[str, str]) -> str:
    try:
        return known[value]
    except KeyError:
        message = f"expected one of {', '.join(known)}, got {value[:40]!r}"
        raise InvalidEvent(column, message) from None


def _kind(user: str, logon: str, orientation: str) -> str:
    account = user.partition("@")[0]
    if account.endswith("$") or account in _SYSTEM or logon in ("Service", "Batch"):
        return "service"
    return "token" if orientation in _TOKENS else "interactive"


def _method(auth_type: str, logon: str, orientation: str) -> str | None:
    if auth_type == "NTLM" or auth_type.startswith("MICROSOFT_AUTH"):
        return "password"
    if auth_type == "Negotiate":
        return "password" if logon in _TYPED else "sso"
    if auth_type == "Kerberos":
        return "sso"
    return "token" if orientation == "TGS" else None
