"""`ztad tune` on a real Ray: killed in the middle, resumed, and its outcome."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ensemble.scorer import load_bundle
from services.cli import main
from services.commands import searches
from tests.graph.served import ROOT, until
from tuning.journal import Journal

pytestmark = pytest.mark.ray
#: Variables that the test says itself, whatever the shell has set.
OURS = ("ZTAD_", "RAY_", "TUNE_")


class Tuning:
    """One ``ztad tune`` in a process of its own, with the detector that fits fastest."""

    def __init__(self, folder: Path) -> None:
        self.home, self.out = folder / "home", folder / "out"
        self.log = folder / "tune.log"
        self._set = folder / "set"
        words = ["--scenario", "seedlike-dirty", "--events", "800", "--out", str(self._set)]
        assert main(["generate", *words]) == 0

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        ours = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "services.cli", "tune", *words],
                cwd=ROOT,
                env={**ours, "ZTAD_HOME": str(self.home)},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def begin(self) -> subprocess.Popen[bytes]:
        return self.start(
            "--events", str(self._set / "events.csv"), "--labels", str(self._set / "labels.csv"),
            "--detectors", "one_class_svm", "--trials", "12", "--parallel", "1", "--no-register",
            "--out", str(self.out),
        )  # fmt: skip

    def trials(self) -> int:
        folder = searches.folder_of(self.home, self.out)
        return len(Journal(folder).trials) if folder.exists() else 0

    def output(self) -> str:
        return self.log.read_text(errors="replace")


def _lives(process: psutil.Process) -> bool:
    """Not gone, nor waiting for somebody to notice that it has."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_asked_to_end_it_clears_up_and_says_how_to_go_on(tmp_path: Path) -> None:
    tuning = Tuning(tmp_path)
    process = tuning.begin()
    until(lambda: tuning.trials() >= 1 or process.poll() is not None, within_s=120)
    assert process.poll() is None, tuning.output()
    ours = psutil.Process(process.pid).children(recursive=True)
    left = Path((searches.folder_of(tuning.home, tuning.out) / "ray-folder").read_text())
    assert left.is_dir()
    process.terminate()
    assert process.wait(60) == 130, tuning.output()
    until(lambda: not any(map(_lives, ours)), within_s=60)
    assert not left.exists()
    assert f"go on with: ztad tune --resume --out {tuning.out}" in tuning.output()


def test_killed_and_resumed(tmp_path: Path) -> None:
    tuning = Tuning(tmp_path)
    process = tuning.begin()
    until(lambda: tuning.trials() >= 3 or process.poll() is not None, within_s=120)
    assert process.poll() is None, tuning.output()
    ours = psutil.Process(process.pid).children(recursive=True)
    listening = {
        connection.laddr.ip
        for each in ours
        for connection in each.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    until(lambda: not any(map(_lives, ours)), within_s=90)
    known = tuning.trials()
    assert 3 <= known < 13

    assert tuning.start("--resume", "--out", str(tuning.out)).wait(240) == 0, tuning.output()
    told = json.loads((tuning.out / "best.json").read_bytes())
    assert told["trials"]["all"] == 13, "the default, and six in each of two stages"
    assert f"resumed, trials on record: {known}" in tuning.output()
    bundle = load_bundle(tuning.out / "bundle")
    assert bundle.detectors == ("one_class_svm",)
    found = bundle.manifest.details.settings["parameters"].get("one_class_svm", {})
    assert found.items() <= told["parameters"]["one_class_svm"].items()
    assert bool(found) == (told["kept"] == "tuned")
    assert (tuning.out / "history.png").stat().st_size > 5000
    assert not searches.folder_of(tuning.home, tuning.out).exists(), "it is over"
    assert "Traceback" not in tuning.output()
