"""Log lines: one event, one line, with its trace and without its secrets."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from services import logs
from services.settings import Settings, SettingsError, load

ROOT = Path(__file__).resolve().parents[3]
LOG = logging.getLogger("ztad.test")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in logs.LOGGERS]
    before = [(each.handlers, each.level, each.propagate) for each in loggers]
    yield
    for each, (handlers, level, propagate) in zip(loggers, before, strict=True):
        each.handlers, each.propagate = handlers, propagate
        each.setLevel(level)


def lines(**settings: Any) -> list[str]:
    """What is written from now on."""
    written: list[str] = []
    logs.configure(Settings(log_format="json").model_copy(update=settings), written.append)
    return written


def only(written: list[str]) -> dict[str, Any]:
    (line,) = written
    assert "\n" not in line
    told: dict[str, Any] = json.loads(line)
    return told


def fail() -> None:
    raise ValueError("bad\nthing of ztad_0123456789abcdefghijklmnop")


def test_a_line() -> None:
    written = lines()
    LOG.warning("channel %s waits\nfor %d s", "mail", 3)
    told = only(written)
    assert told["time"].endswith("Z")
    assert (told["level"], told["logger"]) == ("warning", "ztad.test")
    assert told["message"] == "channel mail waits\nfor 3 s"
    assert set(told) == {"time", "level", "logger", "message"}


def test_an_error_is_one_line_that_says_where() -> None:
    written = lines()
    try:
        fail()
    except ValueError:
        LOG.exception("it failed")
    told = only(written)
    assert told["error"].startswith("ValueError: bad thing of ztad_*** (test_logs.py:")
    assert told["error"].endswith(" in fail)")
    assert "stack" not in told


def test_the_stack_trace_if_asked_for() -> None:
    written = lines(log_stacks=True)
    try:
        fail()
    except ValueError:
        LOG.exception("it failed")
    told = only(written)
    assert told["stack"].startswith("Traceback (most recent call last):\n")
    assert "0123456789abcdefghijklmnop" not in told["stack"]


def test_the_trace_it_belongs_to() -> None:
    written = lines()
    span = NonRecordingSpan(SpanContext(7, 9, False, TraceFlags(TraceFlags.SAMPLED)))
    with trace.use_span(span):
        LOG.info("inside")
    LOG.info("named", extra={"trace_id": "ab" * 16})
    inside, named = map(json.loads, written)
    assert (inside["trace_id"], inside["span_id"]) == (f"{7:032x}", f"{9:016x}")
    assert named["trace_id"] == "ab" * 16


def test_the_replica_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    written = lines()
    context = SimpleNamespace(deployment="Combiner", replica_tag="x7k")
    serve = SimpleNamespace(get_replica_context=lambda: context)
    monkeypatch.setitem(sys.modules, "ray.serve", serve)
    LOG.info("here")
    told = only(written)
    assert (told["deployment"], told["replica"]) == ("Combiner", "x7k")


def test_a_bad_log_call_is_told_and_nothing_breaks() -> None:
    written = lines()
    LOG.warning("%d events", "many")
    told = only(written)
    assert told["level"] == "error"
    assert "test_logs.py" in told["message"]


def test_nobody_reads_any_more() -> None:
    def broken(line: str) -> None:
        raise BrokenPipeError

    logs.configure(Settings(), broken)
    LOG.warning("lost")


def test_levels_and_loggers() -> None:
    written = lines(log_level="warning")
    LOG.info("not this")
    logging.getLogger("preprocessing.journal").warning("this")
    assert only(written)["logger"] == "preprocessing.journal"
    assert not logging.getLogger("ztad").propagate


def test_configured_again_a_line_is_written_once() -> None:
    lines()
    written = lines()
    LOG.warning("once")
    assert len(written) == 1


@pytest.mark.parametrize(
    ("chosen", "terminal", "expected"),
    [(None, True, "text"), (None, False, "json"), ("json", True, "json"), ("text", False, "text")],
)
def test_which_format(chosen: Any, terminal: bool, expected: str) -> None:
    settings = Settings(log_format=chosen)
    assert logs.configure(settings, lambda line: None, terminal=terminal) == expected


def test_text_for_people() -> None:
    written = lines(log_format="text")
    try:
        fail()
    except ValueError:
        LOG.exception("first\nsecond")
    (line,) = written
    assert line[8:].startswith(" ERROR ztad.test: first\\nsecond: ValueError: bad thing of ")
    assert "\n" not in line


def test_settings() -> None:
    settings = load({"ZTAD_LOG_FORMAT": "text", "ZTAD_LOG_LEVEL": "debug", "ZTAD_LOG_STACKS": "1"})
    assert (settings.log_format, settings.log_level, settings.log_stacks) == ("text", "debug", True)
    with pytest.raises(SettingsError, match=r"ZTAD_LOG_FORMAT: .*'json' or 'text'"):
        load({"ZTAD_LOG_FORMAT": "xml"})


REPLICA = """
import io, logging, sys
sys.stderr = io.StringIO()  # as Serve does it
from services import logs
logs.in_replica()
logging.getLogger("ztad.x").warning("said")
"""


def replica(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A process that logs as a replica does."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("ZTAD_")}
    return subprocess.run(
        [sys.executable, "-c", REPLICA], env=env | environment, cwd=ROOT, text=True,
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip


def test_replicas_send_their_lines_to_the_supervisor() -> None:
    written: list[str] = []
    with logs.collected(written.append) as path:
        done = replica({logs.SOCKET: path})
    assert only(written)["message"] == "said"
    assert done.stderr == ""


@pytest.mark.parametrize("environment", [{}, {logs.SOCKET: "/nowhere/s"}])
def test_without_a_supervisor_they_go_to_the_process_own_stderr(
    environment: dict[str, str],
) -> None:
    done = replica(environment)
    assert only(done.stderr.splitlines())["message"] == "said"


def test_a_line_that_cannot_be_written_does_not_end_the_collecting() -> None:
    written: list[str] = []

    def write(line: str) -> None:
        written.append(line)
        if len(written) == 1:
            raise BrokenPipeError

    with logs.collected(write) as path, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"first", path)
        sender.sendto(b"second", path)
    assert written == ["first", "second"]
    assert not Path(path).exists()


def test_what_is_started_meanwhile_logs_here_too(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZTAD_LOG_FORMAT", "text")
    before = LOG.parent, LOG.getEffectiveLevel(), logging.getLogger("ztad").handlers
    with logs.gathered(Settings(log_format="json")) as chosen:
        assert chosen == "json"
        assert logging.getLogger("ztad").handlers != before[2]
        inherited = {name: os.environ[name] for name in (logs.SOCKET, "ZTAD_LOG_FORMAT")}
        replica(inherited)
        LOG.warning("own")
    assert logs.SOCKET not in os.environ
    assert before == (LOG.parent, LOG.getEffectiveLevel(), logging.getLogger("ztad").handlers)
    said = [json.loads(line)["message"] for line in capfd.readouterr().err.splitlines()]
    assert sorted(said) == ["own", "said"]
