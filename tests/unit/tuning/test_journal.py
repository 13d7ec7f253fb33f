from pathlib import Path

import pytest

from tuning.journal import Journal, Trial, best

DONE = {"objective": 0.5, "effort": 100.0}
CUT = {"objective": 0.9, "effort": 11.0}


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add("a", "default", {"x": 1, "how": "mean"}, [CUT, DONE], elapsed_s=1.5)
    journal.add("b", "one", {"x": 2}, [], elapsed_s=2.5, problem="failed")
    again = Journal(tmp_path)
    assert again.trials == journal.trials
    assert again.elapsed_s == 2.5
    assert again.trials[0].metrics == DONE
    assert [trial.number for trial in again.trials] == [0, 1]
    assert again.of("one") == [journal.trials[1]]


def test_half_a_line_of_a_killed_process_is_cut_off(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add("a", "one", {}, [DONE], elapsed_s=1.0)
    file = tmp_path / "trials.ndjson"
    file.write_bytes(file.read_bytes() + b'{"number":1,"tri')
    again = Journal(tmp_path)
    assert again.trials == journal.trials
    again.add("b", "one", {}, [DONE], elapsed_s=2.0)
    assert [trial.trial_id for trial in Journal(tmp_path).trials] == ["a", "b"]


def test_a_trial_that_is_run_again_after_a_kill_counts_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.add("a", "one", {}, [DONE], elapsed_s=1.0)
    assert Journal(tmp_path).add("a", "one", {}, [CUT], elapsed_s=9.0) is None
    assert Journal(tmp_path).elapsed_s == 1.0


def test_finished_stages_are_remembered(tmp_path: Path) -> None:
    Journal(tmp_path).finish("one")
    assert Journal(tmp_path).finished("one")
    assert not Journal(tmp_path).finished("two")


@pytest.mark.parametrize(
    ("objectives", "expected"),
    [([(0.5, 100), (0.7, 100), (0.9, 33)], 1), ([(0.5, 100), (0.5, 100)], 0), ([(0.9, 11)], None)],
    ids=["only whole trials", "the earliest of equals", "none"],
)
def test_the_best(objectives: list[tuple[float, float]], expected: int | None) -> None:
    trials = [
        Trial(
            number=number,
            trial_id=str(number),
            stage="one",
            choice={},
            reports=({"objective": objective, "effort": float(effort)},),
            elapsed_s=0.0,
        )
        for number, (objective, effort) in enumerate(objectives)
    ]
    found = best(trials)
    assert (None if found is None else found.number) == expected
