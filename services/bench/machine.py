"""The machine beside the measurement: its speed of the moment, who took CPU, who holds memory."""

from __future__ import annotations

import platform
import re
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import psutil

_LOOPS = 500_000
_TITLES = (
    (re.compile(r"ray::ServeReplica:[^:]+:(\w+)"), r"\1"),
    (re.compile(r"ray::(\w+)"), r"\1"),
    (re.compile(r"-m (services\.[\w.]+)"), r"\1"),
    (re.compile(r"\bztad (serve)\b"), r"services.cli"),
    (re.compile(r"/(\w+)\.py\b"), r"\1"),
)


class Processes(msgspec.Struct, frozen=True):
    """CPU of a stretch of time, in cores. ``foreign``: what nobody in ``ours`` accounts for."""

    ours: dict[str, float]
    foreign: float


class Memory(msgspec.Struct, frozen=True):
    """MiB by process name; shared pages are in each RSS but divided among the PSS."""

    pss: dict[str, float]
    rss: dict[str, float]

    @property
    def total_pss(self) -> float:
        return sum(self.pss.values())

    @property
    def total_rss(self) -> float:
        return sum(self.rss.values())


def calibrate(chunks: int = 9) -> float:
    """Millions of empty Python loops a second: the median of a few short chunks."""
    return statistics.median(_mloops_per_s() for _ in range(chunks))


def _mloops_per_s() -> float:
    started = time.perf_counter()
    for _ in range(_LOOPS):
        pass
    return _LOOPS / (time.perf_counter() - started) / 1e6


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """What the processor calls itself."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


class CpuWatch:
    """CPU taken by some processes, and by everything else, from its making to ``stop``."""

    def __init__(self, processes: Iterable[psutil.Process]) -> None:
        self._processes = list(processes)
        self._names = {each.pid: process_name(each) for each in self._processes}
        self._before = {each.pid: _cpu_s(each) for each in self._processes}
        self._busy = _machine_busy_s()
        self._started = time.monotonic()

    def stop(self, generator_s: float = 0.0) -> Processes:
        """``generator_s``: CPU of the load generator, which has ended by now."""
        elapsed = time.monotonic() - self._started
        busy = _machine_busy_s() - self._busy
        ours: dict[str, float] = {"load generator": generator_s}
        for each in self._processes:
            used = max(0.0, _cpu_s(each) - self._before[each.pid])
            name = self._names[each.pid]
            ours[name] = ours.get(name, 0.0) + used
        foreign = max(0.0, busy - sum(ours.values()))
        shares = {name: round(used / elapsed, 4) for name, used in ours.items()}
        return Processes(shares, round(foreign / elapsed, 4))


def memory(processes: Iterable[psutil.Process]) -> Memory:
    """What processes hold now; those that end meanwhile hold nothing."""
    pss: dict[str, float] = {}
    rss: dict[str, float] = {}
    for each in processes:
        try:
            name, info = process_name(each), each.memory_full_info()
        except psutil.Error:
            continue
        pss[name] = pss.get(name, 0.0) + float(getattr(info, "pss", info.rss)) / 2**20
        rss[name] = rss.get(name, 0.0) + float(info.rss) / 2**20
    return Memory(pss, rss)


def process_name(process: psutil.Process) -> str:
    """What a process is, told from its title."""
    try:
        return title_name(" ".join(process.cmdline()) or process.name())
    except psutil.Error:
        return "ended"


def title_name(title: str) -> str:
    """A short name for a process title.

    >>> title_name("ray::ServeReplica:ztad:OneClassSVM")
    'OneClassSVM'
    >>> title_name("ray::ServeController.listen_for_change")
    'ServeController'
    >>> title_name("/opt/ray/core/src/ray/gcs/gcs_server --log_dir=/tmp/x")
    'gcs_server'
    """
    for pattern, name in _TITLES:
        found = pattern.search(title)
        if found:
            return found.expand(name)
    return title.split(" ", 1)[0].rsplit("/", 1)[-1]


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _machine_busy_s() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.system + times.nice) + float(
        getattr(times, "irq", 0.0) + getattr(times, "softirq", 0.0)
    )
