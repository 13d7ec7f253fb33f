"""The quality gate: headline figures of detection stay above their committed floors.

``make quality`` prints every figure beside its floor; ``floors.toml`` says how floors are set.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ensemble.scorer import HISTORY_FILE
from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.history import FACTS, Facts
from tests.quality.floors import FILE, Floor, Floors, fallen, raised, read, written
from tests.quality.measuring import Case, Figure, Figures, figures, measure, trained


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    return trained(tmp_path_factory.mktemp("quality"))


@pytest.fixture(scope="module")
def measured(cases: dict[str, Case]) -> dict[str, Figures]:
    return measure(cases)


@pytest.fixture(scope="module")
def floors() -> Floors:
    return read(FILE.read_text("utf-8"))


@pytest.mark.slow
def test_every_figure_has_a_floor_and_every_floor_a_figure(
    measured: dict[str, Figures], floors: Floors
) -> None:
    assert {name: set(table) for name, table in floors.items()} == {
        name: set(table) for name, table in measured.items()
    }


@pytest.mark.slow
def test_no_headline_figure_is_beyond_its_floor(
    measured: dict[str, Figures], floors: Floors
) -> None:
    lines = [line for name, told in measured.items() for line in fallen(floors, name, told)]
    assert not lines, "\n".join(["", *lines])


class Numb(EmbeddedHistory):
    """A history that has lost sight of one fact."""

    lost: str

    def observe(
        self, events: Sequence[AuthEvent], *, now_s: float, join_trails: bool = True
    ) -> Facts:
        facts = super().observe(events, now_s=now_s, join_trails=join_trails)
        facts.values[:, FACTS.index(self.lost)] = 0.0
        return facts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lost", "figure"),
    [("hour_bits", "roc_auc_off_hours_login"), ("bytes_user_dev", "roc_auc_large_data_transfer")],
)
def test_a_fact_that_is_lost_does_not_pass(
    cases: dict[str, Case], floors: Floors, lost: str, figure: str
) -> None:
    history = Numb()
    history.lost = lost
    history.restore(cases["seedlike"].bundle.read(HISTORY_FILE))
    lines = fallen(floors, "seedlike", figures("seedlike", cases["seedlike"].metrics(history)))
    assert any(line.startswith(f"seedlike, {figure}: ") for line in lines)


def test_what_fell_is_told_with_how_far_and_what_to_do() -> None:
    floors = {"seedlike": {"roc_auc": Floor(0.94, least=0.93), "late": Floor(0.1, most=0.2)}}
    good = {"roc_auc": Figure(0.93, 0.01), "late": Figure(0.2, 0.1, more_is_better=False)}
    assert fallen(floors, "seedlike", good) == []
    bad = {"roc_auc": Figure(0.9, 0.01), "late": Figure(0.5, 0.1, more_is_better=False)}
    roc_auc, late = fallen(floors, "seedlike", bad)
    assert roc_auc.startswith(
        "seedlike, roc_auc: 0.900, at least 0.93 wanted: off by 0.030; it was 0.94 when the floor"
    )
    assert "make quality" in roc_auc
    assert late.startswith("seedlike, late: 0.500, at most 0.2 wanted: off by 0.300")
    assert fallen(floors, "seedlike", {"roc_auc": Figure(float("nan"), 0.0)})


def test_floors_are_halfway_to_the_worse_end_and_only_ever_raised() -> None:
    first = raised({}, {"s": {"up": Figure(0.9, 0.1), "down": Figure(1.0, 0.5, False)}})
    assert first == {"s": {"up": Floor(0.9, least=0.85), "down": Floor(1.0, most=1.25)}}
    worse = {"s": {"up": Figure(0.8, 0.1), "down": Figure(2.0, 0.5, False)}}
    assert raised(first, worse) == first
    better = {"s": {"up": Figure(0.95, 0.0), "down": Figure(0.5, 0.5, False)}}
    assert raised(first, better) == {
        "s": {"up": Floor(0.95, least=0.94), "down": Floor(0.5, most=0.75)}
    }


def test_floors_are_read_as_they_were_written() -> None:
    floors = {"s": {"up": Floor(0.9, least=0.85)}, "t": {"down": Floor(1.0, most=1.25)}}
    assert read(written(floors)) == floors
