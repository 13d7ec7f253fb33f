"""The load generator: native/*.c, compiled once for this machine, a process of its own.

It makes its requests itself from templates, so that no Python runs while load does and no id comes
twice however long it takes. What it writes down, an :class:`Outcome` is made of here.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import struct
import subprocess
import tempfile
import time
import weakref
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

import msgspec

from services.bench.outcome import Found, Job, Outcome, outcome_of
from services.bench.subject import BenchError
from services.bench.traffic import head, load
from services.settings import load as settings

SOURCES = Path(__file__).parent / "native"
COMPILERS = ("cc", "gcc", "clang")
#: Most connections that requests at a rate may hold open; beyond, they wait.
MOST_CONNECTIONS = 3000
#: As ``struct template`` of native/traffic.h: moment, offset, size, place, zone.
_TEMPLATE = struct.Struct("=qiIQ8s")
_HEAD = struct.Struct("=qq")


@dataclass(frozen=True, slots=True)
class LoadRun:
    """A load generator at work. What it finds goes to a file: nobody may read it for a while."""

    process: subprocess.Popen[bytes]
    output: IO[bytes]
    job: Job


def start_load(job: Job) -> LoadRun:
    """Begin a load run without waiting for it. Raises :class:`BenchError`."""
    program = compiled(settings().home / "bench")
    templates = _templates(Path(job.events), job.run)
    output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by finish_load
    process = subprocess.Popen(
        [str(program)],
        stdin=subprocess.PIPE,
        stdout=output,
        pass_fds=[templates.file],
    )
    assert process.stdin is not None
    with process.stdin as stdin:
        stdin.write(_told(job, templates.file))
    return LoadRun(process, output, job)


def finish_load(run: LoadRun) -> Outcome:
    """The outcome of a load run, once it has ended. Raises :class:`BenchError`."""
    with run.output as output:
        try:
            code = run.process.wait(timeout=run.job.seconds + 60.0)
        except subprocess.TimeoutExpired:
            run.process.kill()
            raise BenchError("the load generator did not end") from None
        if code:
            raise BenchError(f"the load generator failed (exit {code})")
        output.seek(0)
        return outcome_of(run.job, msgspec.json.decode(output.read(), type=Found))


def compiled(folder: Path) -> Path:
    """The program, compiled from the present sources if it was not yet."""
    sources = sorted(SOURCES.glob("*.[ch]"))
    digest = hashlib.sha256(platform.machine().encode())
    for source in sources:
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    program = folder / f"load-{digest.hexdigest()[:16]}"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _compile([str(each) for each in sources if each.suffix == ".c"], program)
    return program


def _compile(sources: list[str], program: Path) -> None:
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise BenchError(
            "the load generator needs a C compiler (Debian, Ubuntu: apt install gcc libc6-dev)"
        )
    with tempfile.TemporaryDirectory(dir=program.parent) as temporary:
        made = Path(temporary, program.name)
        done = subprocess.run(
            [compiler, "-std=c11", "-O2", "-Wall", "-Wextra", "-o", str(made), *sources, "-lm"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise BenchError(f"cannot compile the load generator: {done.stderr.strip()}")
        os.replace(made, program)  # whole or not at all, whoever else compiles it now


def _told(job: Job, templates: int) -> bytes:
    """The job as the program reads it. Not arguments: those are for everybody to see."""
    kind = "one" if not job.batch else "array" if job.type == "application/json" else "lines"
    lines = {
        "host": job.host,
        "port": job.port,
        "run": job.run,
        "templates": templates,
        "number": job.number,
        "latest_ms": int(time.time() * 1000),
        "seconds": job.settle_s + job.seconds,
        "rate": job.rate,
        "connections": MOST_CONNECTIONS if job.rate else min(job.connections, MOST_CONNECTIONS),
        "events": job.batch or 1,
        "framing": kind,
    }
    text = "".join(f"{name} {value}\n" for name, value in lines.items())
    host = f"{job.host}:{job.port}"
    return text.encode() + b"\n" + head(job.route, host, content_type=job.type, key=job.key)


class _Templates:
    """Templates in a nameless file, closed when they are forgotten."""

    def __init__(self, data: bytes) -> None:
        self.file = os.memfd_create("templates")
        weakref.finalize(self, os.close, self.file)
        with open(self.file, "wb", closefd=False) as file:
            file.write(data)


@lru_cache(maxsize=1)
def _templates(events: Path, run: str) -> _Templates:
    """Made once for all load of one run."""
    traffic = load(events, run=run)
    start = _HEAD.size + _TEMPLATE.size * len(traffic.templates)
    index, rests = [_HEAD.pack(len(traffic.templates), traffic.period_ms)], []
    for each in traffic.templates:
        index.append(_TEMPLATE.pack(each.at_ms, each.offset_ms, len(each.rest), start, each.zone))
        rests.append(each.rest)
        start += len(each.rest)
    return _Templates(b"".join(index + rests))
