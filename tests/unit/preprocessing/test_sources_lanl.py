"""The LANL authentication set: how its fields map, and its red-team labels."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from preprocessing.event import AuthEvent
from preprocessing.sources import Item, Rejected, SourceError, SourceOptions, read_lines
from preprocessing.sources.lanl import HEADER, REDTEAM_HEADER, read, redteam_labels

OPTIONS = SourceOptions(now_s=datetime(2026, 11, 22, tzinfo=UTC).timestamp())
DATA = Path(__file__).resolve().parents[3].parent / "shared/data"
LOGON = "90061,U1@D1,U1@D1,C1,C2,NTLM,Network,LogOn,Success"


def items(*rows: str) -> list[Item]:
    return list(read(lines(HEADER, *rows), options=OPTIONS))


def lines(*rows: str) -> list[bytes]:
    return [row.encode() + b"\r\n" for row in rows]


def test_a_logon_maps_field_by_field() -> None:
    (event,) = items(LOGON)
    assert isinstance(event, AuthEvent)
    assert event.timestamp == datetime(2015, 1, 2, 1, 1, 1, tzinfo=UTC)
    assert (event.user_id, event.outcome, event.action) == ("U1@D1", "success", "login")
    assert (event.device_id, event.resource, event.auth_method) == ("C1", "C2", "password")
    assert (event.user_agent, event.auth_kind) == ("LogOn/NTLM/Network", "interactive")


@pytest.mark.parametrize(
    ("row", "action", "kind", "method", "agent"),
    [
        ("1,U1@D,U1@D,C1,C1,?,?,TGT,Success", "login", "token", None, "TGT/?/?"),
        ("1,U1@D,U1@D,C1,C1,?,?,TGS,Success", "access", "token", "token", "TGS/?/?"),
        ("1,C1$@D,C1$@D,C1,C2,?,?,TGS,Success", "access", "service", "token", "TGS/?/?"),
        ("1,U1@D,U1@D,C1,C1,?,?,ScreenLock,Fail", "logout", "interactive", None, "ScreenLock/?/?"),
        (
            "1,C1$@D,SYSTEM@C1,C1,C1,Negotiate,Service,LogOn,Success",
            "login", "service", "sso", "LogOn/Negotiate/Service/SYSTEM",
        ),
        (
            "1,U1@D,U1@D,C1,C1,Negotiate,Unlock,LogOn,Success",
            "login", "interactive", "password", "LogOn/Negotiate/Unlock",
        ),
        (
            "1,ANONYMOUS LOGON@C1,ANONYMOUS LOGON@C1,C1,C2,MICROSOFT_AUTHENTICATION_P,?,LogOn,Fail",
            "login", "service", "password", "LogOn/MICROSOFT_AUTHENTICATION_P/?",
        ),
    ],
)  # fmt: skip
def test_kinds_of_row(row: str, action: str, kind: str, method: str | None, agent: str) -> None:
    (event,) = items(row)
    assert isinstance(event, AuthEvent)
    assert (event.action, event.auth_kind, event.auth_method) == (action, kind, method)
    assert event.user_agent == agent


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ("soon" + LOGON, "time"),
        ("9" * 30 + LOGON, "time"),
        ("9" * 10 + LOGON[5:], "timestamp"),
        (LOGON + ",more", "row"),
        (LOGON[:-7] + "Perhaps", "outcome"),
        (LOGON.replace("LogOn", "Leave"), "auth_orientation"),
        (LOGON.replace("C2", "C\x002"), "resource"),
        (LOGON.replace("U1@D1", ""), "user_id"),
    ],
)
def test_a_bad_row_names_its_field(row: str, field: str) -> None:
    refused, kept = items(row, LOGON)
    assert isinstance(refused, Rejected)
    assert (refused.line_number, refused.field) == (2, field)
    assert isinstance(kept, AuthEvent)


def test_another_header_is_refused() -> None:
    with pytest.raises(SourceError, match="expected the header"):
        list(read(lines("time,user", LOGON), options=OPTIONS))


def test_red_team_rows_are_found_by_their_ids() -> None:
    rows = [LOGON, "bad", LOGON, LOGON.replace("C2", "C3")]
    listed = lines(REDTEAM_HEADER, "90061,U1@D1,C1,C3")
    events = [item for item in items(*rows) if isinstance(item, AuthEvent)]
    assert list(redteam_labels(lines(HEADER, *rows), listed)) == [(events[2].event_id, "red_team")]


@pytest.mark.skipif(not DATA.exists(), reason="the real sample is not beside this checkout")
def test_every_red_team_logon_of_the_real_sample_is_labelled() -> None:
    auth, redteam = DATA / "lanl_auth_sample.csv.gz", DATA / "lanl_redteam_sample.csv.gz"
    labels = dict(redteam_labels(read_lines(auth), read_lines(redteam)))
    assert len(labels) == 50
