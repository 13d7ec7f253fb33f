r"""Linux auth.log: sshd, sudo and su, as written by rsyslog or journald.

**One attempt is one event.** sshd tells of an attempt up to four times; what counts:

=============================================  ====================================================
line                                           event
=============================================  ====================================================
``Accepted <method> for X from A``             success; the key's fingerprint is the ``device_id``
``Failed <method> for [invalid user] X``       failure; refused keys: one per connection, because a
                                               client offers all it has; ``none``: an inquiry
                                               about methods, an attempt only if X is unknown
``Invalid user X``, ``User X .. not allowed``  failure at once (often no password is ever tried);
                                               the first ``Failed`` after it is the same attempt
``error: PAM: ... for X from A``               failure; the ``Failed keyboard-interactive`` after
                                               it is the same attempt
``maximum authentication attempts exceeded``   failure only if its connection had none so far
``message repeated N times: [ ... ]``          N times the message, all at the stamp of the line
sudo ``X : TTY=... COMMAND=...``               success, ``access`` to ``sudo:<target user>``; never
                                               the command, it may hold a secret
sudo ``N incorrect password attempts``         N failures, less those PAM has told already
sudo ``pam_unix(sudo:auth): authentication     one failure
failure``
sudo ``X : <any other refusal> ; TTY=...``     failure
su ``Successful su``, ``(to root) X on ...``   success, ``access`` to ``su:<target user>``
su ``FAILED su``, ``FAILED SU (to root) X``    failure
=============================================  ====================================================

Skipped and counted: pam_unix lines of sshd and su and ``PAM N more authentication failures`` (the
same attempts again), opened and closed sessions, connections and disconnections, CRON (a scheduler
is nobody's login), useradd and everything else. A connection is a process id of a host with the
same user and address.

Fields: ``resource`` of a login is ``ssh:<host>``. ``auth_method``: password and
keyboard-interactive are ``password``, publickey and hostbased ``key``, gssapi ``sso``. An empty
user name becomes ``(empty)``; one too long for an event is cut. Bytes that are not UTF-8 appear as
``\xNN``. Names are matched so that the last ``from A port N`` of a line is the address, whatever a
user name pretends. OpenSSH 9.8's ``sshd-session`` is sshd.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from preprocessing.event import AuthEvent, InvalidEvent, LineIds, canonical_ip, from_mapping
from preprocessing.sources.base import Item, Rejected, Report, SourceOptions, without_bom
from preprocessing.sources.syslog import Calendar, split

#: rsyslog's own default bound (maxMessageSize); bounds the work of the patterns below.
MAX_LINE_BYTES = 8_192
#: A line that claims more repetitions than this is refused, not believed.
MAX_REPEATS = 10_000
#: Connections whose attempts are being counted; the oldest is forgotten first.
MAX_CONNECTIONS = 4_096
MAX_NAME = 256

_REPEATED = re.compile(r"message repeated (\d+) times: \[ ?(.*)\]$")
_FROM = r"(?P<user>.*) from (?P<address>\S+)"
_WHO = r"(?P<unknown>(?:invalid|illegal) user )?" + _FROM
_TRIED = re.compile(
    r"(?P<verb>Accepted|Failed) (?P<method>[\w/.-]+) for "
    + _WHO
    + r" port \d+(?: ssh\d?)?(?:: \S+ (?P<key>(?:SHA256|MD5):\S+).*)?(?: \[preauth\])?$"
)
_INVALID = re.compile(rf"(?:Invalid|Illegal) user {_FROM}(?: port \d+)?(?: \[preauth\])?$")
_NOT_ALLOWED = re.compile(rf"User {_FROM} not allowed because .*$")
_PAM_ERROR = re.compile(rf"error: PAM: .*? for (?:illegal user )?{_FROM}(?: \[preauth\])?$")
_EXCEEDED = re.compile(
    rf"(?:error: )?maximum authentication attempts exceeded for {_WHO} port \d+(?: ssh\d?)?"
    r"(?: \[preauth\])?$"
)
_SUDO = re.compile(r"\s*(?P<user>\S.*?) : (?:(?P<refusal>[^=]*?) ; )?(?=[A-Z]+=)")
_SUDO_TARGET = re.compile(r".* ; USER=(?P<target>.*?) ;")
_SUDO_PAM = re.compile(r"pam_\w+\(sudo(?:-i)?:auth\): authentication failure;.* user=(?P<user>.*)$")
_INCORRECT = re.compile(r"(\d+) incorrect password attempts?$")
_SU = re.compile(
    r"(?P<verb>Successful|FAILED) su for (?P<target>.*) by (?P<user>.*)$"
    r"|(?P<failed>FAILED SU )?\(to (?P<target2>.*)\) (?P<user2>.*) on .*$"
)
_METHODS = {"password": "password", "publickey": "key", "hostbased": "key", "none": None}
_LAST = re.compile(r"last message repeated (\d+) times?$")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Line:
    host: str
    program: str
    pid: str
    message: str


@dataclass(slots=True)
class _Connection:
    """What has been counted of one connection; ``told``: an attempt whose ``Failed`` may follow."""

    user: str = ""
    address: str = ""
    counted: int = 0
    keys_refused: bool = False
    told: Literal["", "user", "pam"] = ""


def read(
    lines: Iterable[bytes], *, options: SourceOptions, report: Report | None = None
) -> Iterator[Item]:
    """Log lines -> events. Lines that are no attempt of their own are counted in ``report``."""
    calendar, ids, log = Calendar(options), LineIds(), _Log()
    report = Report() if report is None else report
    for number, raw in enumerate(without_bom(lines), 1):
        if not raw.strip():
            continue
        try:
            events = _events(raw, log, calendar, options.now_s)
        except InvalidEvent as error:
            yield Rejected.of(error, number, raw)
            continue
        if events:
            yield from _identified(events, ids(raw))
        else:
            report.skipped += 1


def _events(raw: bytes, log: _Log, calendar: Calendar, now_s: float) -> list[AuthEvent]:
    """The attempts one line tells of, without ids."""
    if len(raw) > MAX_LINE_BYTES:
        raise InvalidEvent("line", f"longer than {MAX_LINE_BYTES} bytes")
    text = raw.decode("utf-8", "backslashreplace").rstrip("\r\n").replace("\x00", r"\x00")
    parts = split(text)
    if parts is None:
        raise InvalidEvent("line", "expected a syslog line: stamp, host, program[pid]: message")
    stamp, host, program, pid, message = parts
    when = calendar.date(stamp)
    rows = log.attempts(_Line(host, program, pid, message))
    return [from_mapping({"timestamp": when, **row}, b"", now_s=now_s) for row in rows]


def _identified(events: list[AuthEvent], line_id: str) -> Iterator[AuthEvent]:
    """Ids for the events of one line: the line's own, then .1, .2 and so on."""
    for ordinal, event in enumerate(events):
        event_id = f"{line_id}.{ordinal}" if ordinal else line_id
        yield msgspec.structs.replace(event, event_id=event_id)


class _Log:
    """Turns lines into attempts; remembers which attempts of open connections were counted."""

    def __init__(self) -> None:
        self._connections: OrderedDict[tuple[str, str, str], _Connection] = OrderedDict()
        self._last: dict[str, _Line] = {}

    def attempts(self, line: _Line) -> list[Row]:
        """The attempts a line tells of, repeated ones as often as it says."""
        times = 1
        if again := _LAST.match(line.message) if not line.program else None:
            times, line = _repeats(again.group(1)), self._last.get(line.host, line)
        elif repeated := _REPEATED.match(line.message):
            times = _repeats(repeated.group(1))
            line = _Line(line.host, line.program, line.pid, repeated.group(2))
        self._remember(line)
        tell = {"sshd": self._sshd, "sshd-session": self._sshd, "sudo": self._sudo, "su": _su}
        if line.program not in tell:
            return []
        return [row for _ in range(times) for row in tell[line.program](line)]

    def _remember(self, line: _Line) -> None:
        """For ``last message repeated``, by host; the hosts of one log are few, and bounded."""
        if len(self._last) >= MAX_CONNECTIONS:
            self._last.clear()
        self._last[line.host] = line

    def _sshd(self, line: _Line) -> list[Row]:
        message = line.message
        if at := _TRIED.match(message):
            return self._tried(line, at)
        if at := _INVALID.match(message) or _NOT_ALLOWED.match(message):
            connection = self._connection(line, at, fresh=True)
            connection.counted, connection.told = 1, "user"
            return [_ssh_failure(line, at, None)]
        if at := _PAM_ERROR.match(message):
            connection = self._connection(line, at)
            known, connection.told = connection.told == "user", "pam"
            connection.counted += not known
            return [] if known else [_ssh_failure(line, at, "password")]
        if at := _EXCEEDED.match(message):
            connection = self._connection(line, at)
            known = connection.counted > 0
            connection.counted += not known
            return [] if known else [_ssh_failure(line, at, None)]
        return []

    def _tried(self, line: _Line, at: re.Match[str]) -> list[Row]:
        method = _method(at["method"])
        row = _ssh(line, at) | {"auth_method": method, "device_id": at["key"]}
        if at["verb"] == "Accepted":
            self._connections.pop((line.host, line.program, line.pid), None)
            return [row | {"outcome": "success"}]
        return [row | {"outcome": "failure"}] if self._counts(line, at) else []

    def _counts(self, line: _Line, at: re.Match[str]) -> bool:
        """True if a ``Failed`` line is an attempt that no line before it told of."""
        connection = self._connection(line, at)
        if at["method"] == "none" and (connection.counted or not at["unknown"]):
            return False
        told, connection.told = connection.told, ""
        offered_again = at["method"] == "publickey" and connection.keys_refused
        connection.keys_refused |= at["method"] == "publickey"
        if told or offered_again:
            return False
        connection.counted += 1
        return True

    def _sudo(self, line: _Line) -> list[Row]:
        if at := _SUDO_PAM.match(line.message):
            self._open(("sudo", line.host, at["user"])).counted += 1
            return [_privilege(at["user"], None, "failure", "password")]
        head, command, _ = line.message.partition("COMMAND=")
        at, target = _SUDO.match(head), _SUDO_TARGET.match(head)
        if not (command and at and target):
            return []
        told = self._connections.pop(("sudo", line.host, at["user"]), _Connection()).counted
        resource, refusal = f"sudo:{target['target']}", at["refusal"]
        if refusal is None:
            return [_privilege(at["user"], resource, "success", None)]
        if wrong := _INCORRECT.match(refusal):
            row = _privilege(at["user"], resource, "failure", "password")
            return [row] * max(_repeats(wrong.group(1)) - told, 0)
        return [_privilege(at["user"], resource, "failure", None)]

    def _connection(self, line: _Line, at: re.Match[str], *, fresh: bool = False) -> _Connection:
        """The connection of a line; a new one if its process id now serves someone else."""
        key = (line.host, line.program, line.pid)
        connection = self._open(key)
        if fresh or (connection.user, connection.address) != (at["user"], at["address"]):
            connection = self._connections[key] = _Connection(at["user"], at["address"])
        return connection

    def _open(self, key: tuple[str, str, str]) -> _Connection:
        connection = self._connections.setdefault(key, _Connection())
        self._connections.move_to_end(key)
        if len(self._connections) > MAX_CONNECTIONS:
            self._connections.popitem(last=False)
        return connection


def _su(line: _Line) -> list[Row]:
    at = _SU.match(line.message)
    if at is None:
        return []
    failed = at["verb"] == "FAILED" or at["failed"]
    user, target = at["user"] or at["user2"], at["target"] or at["target2"]
    return [_privilege(user, f"su:{target}", "failure" if failed else "success", None)]


def _repeats(digits: str) -> int:
    if len(digits) > len(str(MAX_REPEATS)) or int(digits) > MAX_REPEATS:
        raise InvalidEvent("failed_attempts", f"claims more than {MAX_REPEATS} repetitions")
    return int(digits)


def _ssh(line: _Line, at: re.Match[str]) -> Row:
    return {
        "user_id": _name(at["user"]),
        "source_ip": canonical_ip(at["address"]),
        "resource": f"ssh:{line.host}",
    }


def _ssh_failure(line: _Line, at: re.Match[str], method: str | None) -> Row:
    return _ssh(line, at) | {"outcome": "failure", "auth_method": method}


def _privilege(user: str, resource: str | None, outcome: str, method: str | None) -> Row:
    return {
        "user_id": _name(user),
        "action": "access",
        "resource": resource,
        "outcome": outcome,
        "auth_method": method,
    }


def _name(user: str) -> str:
    return (user.strip() or "(empty)")[:MAX_NAME]


def _method(name: str) -> str | None:
    if name.startswith("keyboard-interactive"):
        return "password"
    return "sso" if name.startswith("gssapi") else _METHODS.get(name)
