"""Log lines of every process: one event, one line, with the trace it belongs to.

JSON wherever a program reads them (a pipe, a file, Kubernetes), text on a terminal. Serve takes the
standard streams of a replica for itself, so lines go to the process's own stderr (a file of Ray's,
or the container's log with ``RAY_LOG_TO_STDERR=1``) and, under ``ztad serve``, to a socket from
where they appear on its stderr.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
from opentelemetry import trace

from services.redaction import Redaction
from services.settings import Settings, load

Format = Literal["json", "text"]
#: Everything of ours logs below one of these; asyncio tells of tasks that nobody waited for.
LOGGERS = ("ztad", "preprocessing", "asyncio")
#: Where replicas find the socket of ``ztad serve``.
SOCKET = "ZTAD_LOG_SOCKET"
#: A longer line would not fit into a datagram everywhere; the rest of a message is rarely missed.
MOST_CHARACTERS = 8000

Write = Callable[[str], None]


class _Line(logging.Formatter):
    """What both formats share."""

    def __init__(self, redact: Redaction, *, stacks: bool) -> None:
        super().__init__()
        self._redact = redact
        self._stacks = stacks

    def said(self, record: logging.LogRecord) -> str:
        return self._redact(record.getMessage())[:MOST_CHARACTERS]

    def wrong(self, record: logging.LogRecord) -> str:
        """``Type: message (file.py:12 in function)`` of the exception, empty without one."""
        if not record.exc_info or record.exc_info[1] is None:
            return ""
        error = record.exc_info[1]
        frames = traceback.extract_tb(error.__traceback__)
        where = f" ({_place(frames[-1])})" if frames else ""
        text = " ".join(str(error).split())[:MOST_CHARACTERS]
        return self._redact(f"{type(error).__name__}: {text}{where}")

    def stack(self, record: logging.LogRecord) -> str:
        """The whole stack trace, if it is asked for."""
        if not self._stacks or not record.exc_info:
            return ""
        return self._redact("".join(traceback.format_exception(*record.exc_info)))


class JsonLine(_Line):
    """``{"time": ..., "level": ..., "logger": ..., "message": ..., "trace_id": ...}``"""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.said(record),
            **_trace(record),
            **_replica(),
        }
        if wrong := self.wrong(record):
            told["error"] = wrong
        if stack := self.stack(record):
            told["stack"] = stack
        return msgspec.json.encode(told).decode()


class TextLine(_Line):
    """For people: ``08:15:00 WARNING ztad.detecting: message: error``."""

    def format(self, record: logging.LogRecord) -> str:
        place = _replica().get("deployment", "")
        parts = [f"{_time(record)[11:19]} {record.levelname} {record.name}"]
        parts[0] += f" [{place}]" if place else ""
        parts += [self.said(record).replace("\n", "\\n"), self.wrong(record)]
        line = ": ".join(part for part in parts if part)
        stack = self.stack(record)
        return f"{line}\n{stack.rstrip()}" if stack else line


class Handler(logging.Handler):
    """Formats a record and writes it; a record that cannot be formatted is said in one line."""

    def __init__(self, formatter: logging.Formatter, write: Write) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001 - a bad log call must not become an outage
            line = self.format(_instead(record, error))
        with suppress(OSError, ValueError):  # nobody reads any more
            self._write(line)


def configure(settings: Settings, write: Write | None = None, *, terminal: bool = False) -> Format:
    """Have every line of ours written in the format that is set; the format chosen.

    ``terminal`` says that people read along. Called again it replaces what was.
    """
    chosen: Format = settings.log_format or ("text" if terminal else "json")
    line = JsonLine if chosen == "json" else TextLine
    formatter = line(Redaction(os.environ), stacks=settings.log_stacks)
    handler = Handler(formatter, write or to_stderr)
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(settings.log_level.upper())
        logger.propagate = False
    return chosen


@contextmanager
def gathered(settings: Settings) -> Iterator[Format]:
    """Log on stderr, and have replicas that are started meanwhile log there too; loggers are as
    before afterwards."""
    with _restored(), collected() as path:
        chosen = configure(settings, terminal=sys.stderr.isatty())
        os.environ[SOCKET], os.environ["ZTAD_LOG_FORMAT"] = path, chosen
        try:
            yield chosen
        finally:
            del os.environ[SOCKET]


@contextmanager
def _restored() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(each.handlers, each.level, each.propagate) for each in loggers]
    try:
        yield
    finally:
        for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)


def in_replica() -> None:
    """Configure a worker of Ray; the first thing that one does."""
    where = os.environ.get(SOCKET)
    configure(load(), _Datagrams(where).write if where else to_stderr)


def to_stderr(line: str) -> None:
    """The process's own stderr, whatever ``sys.stderr`` was replaced by."""
    stream = sys.__stderr__
    if stream is not None:
        stream.write(line + "\n")
        stream.flush()


@contextmanager
def collected(write: Write = to_stderr) -> Iterator[str]:
    """The path of a socket; the lines that replicas send there are written one by one.

    In a thread of its own, which ends with the context.
    """
    with tempfile.TemporaryDirectory(prefix="ztad-log-") as folder:
        path = str(Path(folder) / "s")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving:
            receiving.bind(path)
            thread = threading.Thread(target=_write_all, args=(receiving, write), daemon=True)
            thread.start()
            try:
                yield path
            finally:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
                    last.sendto(b"", path)
                thread.join()


def _write_all(receiving: socket.socket, write: Write) -> None:
    while datagram := receiving.recv(1 << 16):
        with suppress(OSError, ValueError):
            write(datagram.decode("utf-8", "replace"))


class _Datagrams:
    """Sends lines to whoever collects them; to stderr while nobody does. Never waits."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def write(self, line: str) -> None:
        try:
            self._socket.sendto(line.encode(), self._path)
        except OSError:
            to_stderr(line)


def _place(frame: traceback.FrameSummary) -> str:
    return f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _trace(record: logging.LogRecord) -> dict[str, str]:
    """The trace that the record names (``extra={"trace_id": ...}``), else the current one."""
    named = getattr(record, "trace_id", "")
    if named:
        return {"trace_id": named}
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return {}
    return {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}


def _replica() -> dict[str, str]:
    """Which replica this process is, if it is one (by now)."""
    asked = getattr(sys.modules.get("ray.serve"), "get_replica_context", None)
    if asked is None:
        return {}
    try:
        context = asked()
    except Exception:  # noqa: BLE001 - Serve says so outside of replicas
        return {}
    return {"deployment": context.deployment, "replica": context.replica_tag}


def _instead(record: logging.LogRecord, error: Exception) -> logging.LogRecord:
    text = f"a log line of {record.filename}:{record.lineno} cannot be formatted ({error})"
    return logging.LogRecord(
        record.name, logging.ERROR, record.pathname, record.lineno, text, None, None
    )
