import json
import typing
from pathlib import Path

import pytest

from ensemble.budget import DEFAULT_BUDGET
from ensemble.combine import METHODS
from ensemble.scorer import load_bundle
from models.aliases import ALIASES
from services.cli import main
from services.commands import train

HEADER = "timestamp,user_id,outcome\n"


def _train(folder: Path, rows: list[str], *words: str) -> int:
    (folder / "events.csv").write_text(HEADER + "".join(f"{row}\n" for row in rows))
    out = str(folder / "bundle")
    events = str(folder / "events.csv")
    return main(["train", "--events", events, "--out", out, "--no-register", *words])


def _row(number: int, *, user: str = "", outcome: str = "success", minute: int = -1) -> str:
    at = number * 37 if minute < 0 else minute
    day, hour = 1 + at // 1440, at // 60 % 24
    stamp = f"2026-01-{day:02d}T{hour:02d}:{at % 60:02d}:00Z"
    return f"{stamp},{user or f'user{number % 7}'},{outcome}"


def _scores(folder: Path) -> int:
    words = ["--events", str(folder / "events.csv"), "--out", str(folder / "verdicts.ndjson")]
    return main(["score", "--bundle", str(folder / "bundle"), *words])


def test_options_repeat_what_the_ensemble_knows() -> None:
    assert train.METHODS == METHODS
    assert train.BUDGET == DEFAULT_BUDGET
    assert train.ALIASES == ALIASES


def test_says_what_was_trained_and_what_comes_next(
    bundle: Path, small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = str(small_set / "events.csv")
    labels = str(small_set / "labels.csv")
    out = str(tmp_path / "b")
    words = ["--events", events, "--labels", labels, "--out", out, "--no-register"]
    assert main(["train", *words]) == 0
    told = capsys.readouterr()
    assert f"{out}: model " in told.out
    assert "trained on 600 events of " in told.out
    assert f"next: ztad score --bundle {out} " in told.out
    assert "training: fitting autoencoder\n" in told.err
    unlabelled, labelled = load_bundle(bundle), load_bundle(Path(out))
    assert unlabelled.manifest.details.fingerprint != labelled.manifest.details.fingerprint


@pytest.mark.slow
@pytest.mark.parametrize(
    "rows",
    [
        [_row(number) for number in range(10)],
        [_row(number, user="ada") for number in range(60)],
        [_row(number) for number in reversed(range(60))],
        [_row(number, outcome="failure") for number in range(60)],
        [_row(number, minute=600) for number in range(60)],
        [_row(0)],
    ],
    ids=["ten", "one_user", "unsorted", "only_failures", "all_at_one_time", "one"],
)
def test_small_and_odd_inputs_give_a_bundle_that_scores(rows: list[str], tmp_path: Path) -> None:
    assert _train(tmp_path, rows) == 0
    assert _scores(tmp_path) == 0
    verdicts = (tmp_path / "verdicts.ndjson").read_text().splitlines()
    assert len(verdicts) == len(rows)
    assert all(0.0 <= json.loads(verdict)["score"] <= 1.0 for verdict in verdicts)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([], "no event, only a header"),
        (["2026-01-01T00:00:00Z,,success"], "no usable event: 1 line rejected; the first, line 2"),
    ],
)
def test_no_events_is_a_clear_line(
    rows: list[str], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _train(tmp_path, rows) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"ztad train: {tmp_path / 'events.csv'}: {problem}")
    assert not (tmp_path / "bundle").exists()


def test_rejected_lines_are_told_and_the_rest_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _train(tmp_path, [*(_row(number) for number in range(10)), "bad"]) == 0
    told = capsys.readouterr().err
    assert "1 line rejected; the first, line 12: row: expected 3 cells" in told


def test_something_else_at_out_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "notes.txt").write_text("mine")
    assert _train(tmp_path, [_row(0)]) == 2
    told = capsys.readouterr().err
    assert "is not a ztad model bundle, so it is left alone" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("budget", ["0", "-1", "nan", "inf", "many"])
def test_a_budget_is_a_number_above_zero(
    budget: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _train(tmp_path, [], "--alert-budget", budget) == 2
    assert "expected a number above 0" in capsys.readouterr().err


def test_every_method_is_one_of_the_ensemble() -> None:
    assert set(train.METHODS) == set(typing.cast("tuple[str, ...]", METHODS))
