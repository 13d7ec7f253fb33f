import json
from pathlib import Path

import pytest

from services.cli import main
from services.commands.suite import Case, Step
from tuning.evaluation.suite import PLANS


def test_unknown_scenarios_and_bad_seeds_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["suite", "--out", str(tmp_path), "--scenarios", "weekend"]
    assert main([*words, "--seeds", "1"]) == 2
    assert "no scenario weekend; known: seedlike" in capsys.readouterr().err
    assert main([*words, "--seeds", "one"]) == 2
    assert "expected whole numbers" in capsys.readouterr().err


def test_a_step_is_done_once_and_again_when_its_words_change(tmp_path: Path) -> None:
    def generated(events: int) -> bool:
        words = ("generate", "--scenario", "seedlike", "--events", str(events), "--out")
        return Step(tmp_path, (*words, str(tmp_path))).run()

    assert generated(200)
    assert generated(200)
    assert (tmp_path / "log.txt").read_text().count("$ ztad generate") == 1
    done = tmp_path / "done.json"
    done.write_text(json.dumps({**json.loads(done.read_text()), "train": ["train"]}))
    assert generated(300)
    assert (tmp_path / "log.txt").read_text().count("$ ztad generate") == 2
    assert list(json.loads(done.read_text())) == ["generate"]


def test_a_step_that_fails_is_not_done_and_says_why(tmp_path: Path) -> None:
    step = Step(tmp_path, ("train", "--events", "nowhere.csv", "--out", str(tmp_path / "model")))
    assert not step.run()
    assert "nowhere.csv: no such file" in step.log.read_text()
    assert not (tmp_path / "done.json").exists()


def test_the_first_part_trains_and_the_rest_is_judged(tmp_path: Path) -> None:
    facts = {"start": "2025-05-01T00:00:00Z", "end": "2025-06-12T00:00:00Z"}
    (tmp_path / "scenario.json").write_text(json.dumps(facts))
    case = Case(PLANS["enterprise"], 7, 500, tmp_path)
    steps = {step.name: " ".join(step.words) for step in case.steps()}
    assert list(steps) == ["generate", "train", "ablate", "evaluate"]
    assert "--seed 7" in steps["generate"]
    assert "--until 2025-05-22T00:00:00+00:00 " in steps["train"]
    assert "--labels" not in steps["train"]
    assert "--from 2025-05-22T00:00:00+00:00 " in steps["evaluate"]
    assert steps["evaluate"].endswith("--compare")
