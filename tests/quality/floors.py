"""``floors.toml``: how far each headline figure may fall before the tests fail."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.quality.measuring import Figure, Figures

FILE = Path(__file__).with_name("floors.toml")
HEADER = """\
# How far headline figures may fall, or rise where less is better, before the tests fail.
#
# A floor lies halfway between what was measured when it was set and the worse end of that
# figure's 95 % interval, and 0.01 away at least. `make quality` prints today's figures beside
# them; `make quality RAISE=1` makes floors stricter where today's figures allow it, never laxer:
# to lower one, edit it here and say why in the commit.
"""
WHAT_NOW = (
    "`make quality` prints every figure. Mend what made it fall; where the fall is meant, lower "
    "the floor in tests/quality/floors.toml and say why in the commit."
)
DIGITS = 3
#: TensorFlow's fit differs in the third digit from machine to machine.
LEAST_SLACK = 0.01


@dataclass(frozen=True, slots=True)
class Floor:
    """``least`` or ``most`` of a figure, and what was measured when it was set."""

    measured: float
    least: float | None = None
    most: float | None = None

    @classmethod
    def of(cls, figure: Figure) -> Floor:
        """Halfway to the worse end of the interval, LEAST_SLACK away at least."""
        slack = max(figure.reach / 2.0, LEAST_SLACK)
        measured = round(figure.value, DIGITS)
        if figure.more_is_better:
            return cls(measured, least=round(figure.value - slack, DIGITS))
        return cls(measured, most=round(figure.value + slack, DIGITS))

    def beyond(self, value: float) -> float:
        """How far a value is on the wrong side; 0 where it is well. NaN is never well."""
        off = self.least - value if self.least is not None else value - (self.most or 0.0)
        return 0.0 if off <= 0.0 else off

    def stricter(self, other: Floor) -> Floor:
        """This floor or the other one; a figure that changed sides takes the other."""
        if self.least is not None and other.least is not None:
            return max(self, other, key=lambda one: one.least or 0.0)
        if self.most is not None and other.most is not None:
            return min(self, other, key=lambda one: one.most or 0.0)
        return other

    def __str__(self) -> str:
        return f"at least {self.least}" if self.least is not None else f"at most {self.most}"


Floors = dict[str, dict[str, Floor]]


def read(text: str) -> Floors:
    """Floors by set and figure."""
    return {
        name: {figure: Floor(**given) for figure, given in table.items()}
        for name, table in tomllib.loads(text).items()
    }


def written(floors: Floors) -> str:
    """The text that is read again."""
    lines = [HEADER]
    for name, table in floors.items():
        lines.append(f"[{name}]")
        for figure, each in table.items():
            side = f"least = {each.least}" if each.least is not None else f"most = {each.most}"
            lines.append(f"{figure} = {{ {side}, measured = {each.measured} }}")
        lines.append("")
    return "\n".join(lines)


def raised(floors: Floors, measured: Mapping[str, Figures]) -> Floors:
    """Floors of exactly these figures, none laxer than before."""
    return {
        name: {
            figure: floors[name][figure].stricter(Floor.of(told))
            if figure in floors.get(name, {})
            else Floor.of(told)
            for figure, told in table.items()
        }
        for name, table in measured.items()
    }


def fallen(floors: Floors, name: str, figures: Figures) -> list[str]:
    """A line for each figure of a set that is beyond its floor."""
    return [
        f"{name}, {figure}: {told.value:.3f}, {each} wanted: off by {off:.3f}; it was "
        f"{each.measured} when the floor was set. {WHAT_NOW}"
        for figure, told in figures.items()
        if (off := (each := floors[name][figure]).beyond(told.value))
    ]
