"""auth.log: one attempt is one event, whatever sshd, PAM, sudo and su say about it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.event import AuthEvent
from preprocessing.sources import Rejected, Report, SourceOptions, open_events
from preprocessing.sources.sshd import read

NOW_S = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
OPTIONS = SourceOptions(now_s=NOW_S)
A, B = "192.0.2.7", "198.51.100.9"
REAL = Path(__file__).resolve().parents[3].parent / "shared/data/sshd_auth.log"


def items(*lines: str, options: SourceOptions = OPTIONS) -> list[AuthEvent | Rejected]:
    raw = [line.encode() + b"\n" for line in lines]
    return list(read(raw, options=options))


def events(*messages: str, program: str = "sshd[100]") -> list[AuthEvent]:
    found = items(*(f"Mar  7 09:01:02 web1 {program}: {message}" for message in messages))
    assert not [item for item in found if isinstance(item, Rejected)]
    return [item for item in found if isinstance(item, AuthEvent)]


def summary(found: list[AuthEvent]) -> list[tuple[str, str, str | None]]:
    return [(event.user_id, event.outcome, event.auth_method) for event in found]


def failed(user: str, address: str = A, method: str = "password") -> str:
    return f"Failed {method} for {user} from {address} port 5022 ssh2"


def test_a_key_login_carries_its_fingerprint() -> None:
    line = f"Accepted publickey for alice from {A} port 22022 ssh2: ED25519 SHA256:abc+/123"
    (event,) = events(line)
    assert event.timestamp == datetime(2026, 3, 7, 9, 1, 2, tzinfo=UTC)
    assert (event.user_id, event.outcome, event.auth_method) == ("alice", "success", "key")
    assert (event.source_ip, event.device_id) == (A, "SHA256:abc+/123")
    assert (event.resource, event.action, event.country) == ("ssh:web1", "login", None)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("password", "password"),
        ("keyboard-interactive/pam", "password"),
        ("hostbased", "key"),
        ("gssapi-with-mic", "sso"),
        ("novelty", None),
    ],
)
def test_methods(method: str, expected: str | None) -> None:
    (event,) = events(f"Accepted {method} for alice from {A} port 1 ssh2")
    assert event.auth_method == expected


def test_repetitions_count() -> None:
    repeated = f"message repeated 5 times: [ {failed('root')}]"
    found = events(failed("root"), repeated)
    assert summary(found) == [("root", "failure", "password")] * 6
    assert len({event.event_id for event in found}) == 6


def test_the_old_form_of_repetition_counts() -> None:
    lines = [f"Mar  7 09:01:02 web1 sshd[9]: {failed('root')}"]
    lines.append("Mar  7 09:01:09 web1 last message repeated 3 times")
    assert len(items(*lines)) == 4


def test_an_absurd_repetition_is_refused() -> None:
    line = f"Mar  7 09:01:02 web1 sshd[9]: message repeated 99999999 times: [ {failed('root')}]"
    (refused,) = items(line)
    assert isinstance(refused, Rejected)
    assert refused.field == "failed_attempts"


def test_what_pam_says_about_an_attempt_is_not_another() -> None:
    found = events(
        f"pam_unix(sshd:auth): authentication failure; logname= uid=0 rhost={A}  user=root",
        failed("root"),
        failed("root"),
        f"error: maximum authentication attempts exceeded for root from {A} port 5022 ssh2",
        "Disconnecting: Too many authentication failures [preauth]",
        f"PAM 1 more authentication failure; logname= uid=0 rhost={A}  user=root",
    )
    assert len(found) == 2


def test_an_invalid_user_counts_once_without_a_password() -> None:
    found = events(
        f"Invalid user test from {A} port 5022",
        "input_userauth_request: invalid user test [preauth]",
        f"error: maximum authentication attempts exceeded for invalid user test from {A} port 5022"
        " ssh2 [preauth]",
        f"Connection closed by {A} port 5022 [preauth]",
    )
    assert summary(found) == [("test", "failure", None)]


def test_an_invalid_user_and_its_first_password_are_one_attempt() -> None:
    found = events(
        f"Invalid user test from {A}",
        failed("invalid user test", method="none"),
        failed("invalid user test"),
        failed("invalid user test"),
        failed("invalid user test"),
    )
    assert len(found) == 3


def test_a_process_id_that_comes_again_is_another_connection() -> None:
    found = events(f"Invalid user test from {A}", failed("alice", B), f"Invalid user test from {A}")
    assert [event.user_id for event in found] == ["test", "alice", "test"]


def test_only_exceeding_the_maximum_counts_once() -> None:
    line = f"maximum authentication attempts exceeded for root from {A} port 1 ssh2 [preauth]"
    assert summary(events(f"error: {line}")) == [("root", "failure", None)]


def test_keys_refused_in_one_connection_are_one_attempt() -> None:
    refused = failed("alice", method="publickey") + ": RSA SHA256:abc"
    found = events(refused, refused, f"Accepted password for alice from {A} port 5022 ssh2")
    assert [event.outcome for event in found] == ["failure", "success"]


def test_an_inquiry_about_methods_is_no_attempt() -> None:
    assert events(failed("alice", method="none")) == []


def test_pam_errors_and_the_failed_line_after_them() -> None:
    error = f"error: PAM: Authentication failure for alice from {A}"
    found = events(error, error, failed("alice", method="keyboard-interactive/pam"))
    assert len(found) == 2


def test_a_user_not_allowed_is_refused_once() -> None:
    refusal = f"User root from {A} not allowed because not listed in AllowUsers"
    assert summary(events(refusal, failed("invalid user root"))) == [("root", "failure", None)]


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", "(empty)"),
        ("o'brien.x-y$", "o'brien.x-y$"),
        ("two words", "two words"),
        ("root from 203.0.113.1 port 1 ssh2", "root from 203.0.113.1 port 1 ssh2"),
        ("\\303\\251", "\\303\\251"),
        ("x" * 300, "x" * 256),
    ],
    ids=lambda value: value[:12],
)
def test_odd_user_names_never_move_the_address(user: str, expected: str) -> None:
    (event,) = events(failed(f"invalid user {user}"))
    assert (event.user_id, event.source_ip) == (expected, A)


@pytest.mark.parametrize("address", ["2001:db8::1", "fe80::1%eth0", "::ffff:192.0.2.1"])
def test_ipv6(address: str) -> None:
    (event,) = events(failed("root", address))
    assert event.source_ip is not None


def test_an_address_that_is_none_is_absent() -> None:
    (event,) = events(failed("root", "UNKNOWN"))
    assert event.source_ip is None


def test_newer_sshd_and_rfc3339_stamps() -> None:
    (event,) = items(
        f"2024-02-29T23:59:59.123456+01:00 db sshd-session[7]: {failed('root', '2001:db8::1')}"
    )
    assert isinstance(event, AuthEvent)
    assert event.timestamp == datetime(2024, 2, 29, 22, 59, 59, 123456, tzinfo=UTC)
    assert event.source_ip == "2001:db8::1"


SUDO = "TTY=pts/0 ; PWD=/home/bob ; USER=root ; COMMAND=/usr/bin/mysql -psecret"


def test_sudo_names_the_target_and_never_the_command() -> None:
    (event,) = events(f"     bob : {SUDO}", program="sudo")
    assert (event.user_id, event.action, event.outcome) == ("bob", "access", "success")
    assert event.resource == "sudo:root"
    assert "secret" not in repr(event)


@pytest.mark.parametrize(
    ("messages", "failures"),
    [
        ([f"bob : 3 incorrect password attempts ; {SUDO}"], 3),
        (["pam_unix(sudo:auth): authentication failure; logname=bob uid=1000  user=bob",
          f"bob : 3 incorrect password attempts ; {SUDO}"], 3),
        (["pam_unix(sudo:auth): authentication failure; logname=bob uid=1000  user=bob",
          f"bob : {SUDO}"], 1),
        ([f"bob : user NOT in sudoers ; {SUDO}"], 1),
        ([f"bob : a password is required ; {SUDO}"], 1),
        (["pam_unix(sudo:session): session opened for user root by bob(uid=0)"], 0),
    ],
)  # fmt: skip
def test_sudo_refusals(messages: list[str], failures: int) -> None:
    found = events(*messages, program="sudo[44]")
    assert sum(event.outcome == "failure" for event in found) == failures


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ("Successful su for root by bob", "success"),
        ("FAILED su for root by bob", "failure"),
        ("(to root) bob on pts/1", "success"),
        ("FAILED SU (to root) bob on pts/1", "failure"),
    ],
)
def test_su(message: str, outcome: str) -> None:
    noise = ["+ /dev/pts/0 bob:root", "pam_unix(su:session): session opened for user root by bob"]
    (event,) = events(message, *noise, program="su[12]")
    assert (event.user_id, event.outcome, event.resource) == ("bob", outcome, "su:root")


def test_what_is_no_authentication_is_counted_and_skipped() -> None:
    lines = [
        "Mar  7 09:01:02 web1 CRON[1]: pam_unix(cron:session): session opened for user root",
        "Mar  7 09:01:02 web1 useradd[1]: new user: name=x, UID=1",
        f"Mar  7 09:01:02 web1 sshd[1]: Received disconnect from {A} port 1:11: Bye Bye [preauth]",
        f"Mar  7 09:01:02 web1 app: {failed('root')}",
        "Mar  7 09:01:02 web1 -- MARK --",
        "",
    ]
    report = Report()
    assert list(read([line.encode() for line in lines], options=OPTIONS, report=report)) == []
    assert report.skipped == 5


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("Mar  7 09:0", "line"),
        ("not a log", "line"),
        (f"Mar  7 09:01:02 web1 sshd[1]: {failed('r' * 9000)}", "line"),
        (f"Mar 32 09:01:02 web1 sshd[1]: {failed('root')}", "timestamp"),
        (f"Foo  7 09:01:02 web1 sshd[1]: {failed('root')}", "timestamp"),
        (f"2026-13-07T09:01:02Z web1 sshd[1]: {failed('root')}", "timestamp"),
        (f"2027-03-07T09:01:02Z web1 sshd[1]: {failed('root')}", "timestamp"),
        (f"1999-03-07T09:01:02Z web1 sshd[1]: {failed('root')}", "timestamp"),
    ],
    ids=lambda value: value[:20],
)
def test_bad_lines_name_their_field(line: str, field: str) -> None:
    good = f"Mar  7 09:01:02 web1 sshd[2]: {failed('root')}"
    refused, kept = items(line, good)
    assert isinstance(refused, Rejected)
    assert (refused.line_number, refused.field) == (1, field)
    assert isinstance(kept, AuthEvent)


def dates(stamps: list[str], path: Path, options: SourceOptions) -> list[str]:
    """The days of failures at ``stamps``, read from a file."""
    path.write_text("".join(f"{stamp} web1 sshd[1]: {failed('root')}\n" for stamp in stamps))
    found = open_events(path, options=options)
    return [str(item.timestamp.date()) for item in found if isinstance(item, AuthEvent)]


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        (["Mar  7 09:01:02"], ["2026-03-07"]),
        (["Nov 22 20:00:00"], ["2026-11-22"]),
        (["Dec 24 09:01:02"], ["2025-12-24"]),
        (["Dec 31 23:59:59", "Jan  1 00:00:00"], ["2025-12-31", "2026-01-01"]),
        (
            ["Dec 31 23:59:59", "Jan  1 00:00:01", "Dec 31 23:59:59", "Jan  1 00:00:02"],
            ["2025-12-31", "2026-01-01", "2025-12-31", "2026-01-01"],
        ),
        (
            ["Mar  1 00:00:00", "Dec  1 00:00:00", "Feb  1 00:00:00", "Dec  1 00:00:00"],
            ["2024-03-01", "2024-12-01", "2025-02-01", "2025-12-01"],
        ),
        (["Feb 29 12:00:00", "Mar  1 12:00:00"], ["2024-02-29", "2024-03-01"]),
    ],
)
def test_the_year_is_inferred_from_the_last_stamp(
    stamps: list[str], expected: list[str], tmp_path: Path
) -> None:
    assert dates(stamps, tmp_path / "auth.log", OPTIONS) == expected


def test_the_year_can_be_given(tmp_path: Path) -> None:
    options = SourceOptions(now_s=NOW_S, year=2017)
    stamps = ["Dec 31 00:00:00", "Jan  1 00:00:00"]
    assert dates(stamps, tmp_path / "auth.log", options) == ["2017-12-31", "2018-01-01"]


def test_a_day_the_given_year_lacks_is_refused() -> None:
    options = SourceOptions(now_s=NOW_S, year=2025)
    (refused,) = items(f"Feb 29 09:01:02 web1 sshd[1]: {failed('root')}", options=options)
    assert isinstance(refused, Rejected)
    assert "no such time in 2025" in refused.message


def test_local_stamps_use_the_timezone() -> None:
    options = SourceOptions(now_s=NOW_S, timezone=timezone(timedelta(hours=2)))
    (event,) = items(f"Mar  7 01:00:00 web1 sshd[1]: {failed('root')}", options=options)
    assert isinstance(event, AuthEvent)
    assert event.timestamp == datetime(2026, 3, 6, 23, tzinfo=UTC)


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_arbitrary_bytes_raise_nothing(tails: list[bytes]) -> None:
    starts = [b"", b"Mar  7 09:01:02 web1 sshd[1]: ", b"Mar  7 09:01:02 web1 sudo: "]
    lines = [start + tail for tail in tails for start in starts]
    assert all(isinstance(i, AuthEvent | Rejected) for i in read(lines, options=OPTIONS))


@given(st.data())
def test_mutated_lines_raise_nothing(data: st.DataObject) -> None:
    raw = bytearray(f"Feb 29 09:01:02 web1 sshd[1]: {failed('invalid user x')}".encode())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    assert all(isinstance(i, AuthEvent | Rejected) for i in read([bytes(raw)], options=OPTIONS))


@pytest.mark.skipif(not REAL.exists(), reason="the real log is not beside this checkout")
def test_a_real_log() -> None:
    report = Report()
    found = list(open_events(REAL, options=OPTIONS, report=report))
    real = [item for item in found if isinstance(item, AuthEvent)]
    assert len(real) == len(found) == len({event.event_id for event in real}) == 1580
    failures = Counter((e.source_ip, e.user_id) for e in real if e.outcome == "failure")
    assert failures["24.151.103.17", "elastic_user_0"] == 147
    assert failures["34.204.227.175", "(empty)"] == 43
    keys = [event for event in real if event.auth_method == "key" and event.outcome == "success"]
    assert [event.user_id for event in keys] == ["ubuntu"] * 36
