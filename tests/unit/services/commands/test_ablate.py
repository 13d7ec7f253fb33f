from pathlib import Path

import pytest

from services.cli import main


def _ablate(events: Path, labels: Path, *words: str) -> int:
    return main(["ablate", "--events", str(events), "--labels", str(labels), *words])


def test_nothing_to_train_on_is_refused(
    small_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--judge-from", "1999-01-01")
    assert _ablate(small_set / "events.csv", small_set / "labels.csv", *words) == 2
    assert "expected events to train on and labelled ones after them" in capsys.readouterr().err


def test_without_an_attack_there_is_nothing_to_ablate(
    small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (small_set / "labels.csv").read_text().splitlines()
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join([lines[0], *(line for line in lines if ",0," in line)]) + "\n")
    assert _ablate(small_set / "events.csv", labels) == 2
    assert "no event that is judged is labelled anomalous" in capsys.readouterr().err
