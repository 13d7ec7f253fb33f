"""What the steps of a trail say in numbers: in numpy for fitting, and as nodes of an ONNX graph.

Beside the levels that a step holds, it is told whether its device, its network and its session were
there in the steps before: links are equal bytes and mean nothing by themselves. Neither that nor
what was done is foretold: what people do next, and where, changes more often than who does it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.base import Trails
from preprocessing.trail import FIELDS, WIDTH

if TYPE_CHECKING:
    from models.export import Graph

_NAMES = [field.name for field in FIELDS]
_ORDERED = [index for index, field in enumerate(FIELDS) if field.ordered]
_LINKS = [index for index, name in enumerate(_NAMES) if name.endswith("_link")]
_WHERE = [_NAMES.index("device_link"), _NAMES.index("network_link")]
_GAP, _KIND = _NAMES.index("gap"), _NAMES.index("kind")

KINDS = FIELDS[_KIND].levels
#: Levels of the fields that are ordered, strangest last.
LEVELS: tuple[int, ...] = tuple(FIELDS[index].levels for index in _ORDERED)
HEADS, MOST_LEVELS = len(LEVELS), max(LEVELS)
#: Numbers that are given when the levels of a step are foretold: what was done, and how long after
#: the step before.
GIVEN = 1 + KINDS
#: Numbers that tell a whole step.
TOLD = GIVEN + 2 * HEADS + len(_LINKS)

_MOST = np.array(LEVELS, np.float32) - 1
_MOST_GAP = FIELDS[_GAP].levels - 1.0

Numbers = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps of n trails of length s.

    ``before`` (n, s, TOLD) tells the step before each one, ``given`` (n, s, GIVEN) what is given of
    the step itself; ``levels`` (n, s, HEADS) are to be foretold. ``present`` (n, s) is 1 where
    there was an event, ``linked`` (n, s) where it came from the device and the network of the last.
    """

    before: Numbers
    given: Numbers
    levels: Numbers
    present: Numbers
    linked: Numbers

    @classmethod
    def of(cls, trails: Trails) -> Steps:
        """What trails (n, s, WIDTH of preprocessing.trail) say."""
        present = (trails[:, :, 0] > 0).astype(np.float32)
        levels = np.maximum(trails[:, :, _ORDERED].astype(np.float32) - 1, 0)
        new = _new(trails[:, :, _LINKS], present)
        gap = np.maximum(trails[:, :, [_GAP]].astype(np.float32) - 1, 0) / np.float32(_MOST_GAP)
        kinds = (trails[:, :, [_KIND]] == np.arange(1, KINDS + 1)).astype(np.float32)
        given = np.concatenate([gap, kinds], axis=2)
        told = np.concatenate([given, levels / _MOST, np.minimum(levels, 1), new], axis=2)
        before = np.concatenate([np.zeros_like(told[:, :1]), told[:, :-1]], axis=1)
        where = trails[:, :, _WHERE]
        linked = (where == where[:, -1:]).all(axis=2).astype(np.float32)
        return cls(before, given, levels, present, linked)


@dataclass(frozen=True, slots=True)
class Nodes:
    """The same as names of tensors in an ONNX graph."""

    before: str
    given: str
    levels: str
    present: str
    linked: str

    @classmethod
    def of(cls, graph: Graph, trails: str, length: int) -> Nodes:
        """The nodes of :meth:`Steps.of`, for trails of ``length`` steps."""
        one = graph.constant(1.0)
        bytes_ = graph.add("Cast", trails, to=graph.FLOAT)
        present = graph.add("Min", _columns(graph, bytes_, [0]), one)
        links = _columns(graph, bytes_, _LINKS)
        levels = _lowered(graph, bytes_, _ORDERED)
        new = _new_nodes(graph, links, present, length)
        gap = graph.add("Div", _lowered(graph, bytes_, [_GAP]), graph.constant(_MOST_GAP))
        kind_names = graph.constant(np.arange(1, KINDS + 1))
        kinds = _equal(graph, _columns(graph, bytes_, [_KIND]), kind_names)
        given = graph.add("Concat", gap, kinds, axis=2)
        scaled = graph.add("Div", levels, graph.constant(_MOST))
        told = graph.add("Concat", given, scaled, graph.add("Min", levels, one), new, axis=2)
        where = _columns(graph, bytes_, _WHERE)
        last = graph.add("Gather", where, graph.constant([length - 1], np.int64), axis=1)
        same = graph.add("ReduceMin", _equal(graph, where, last), axes=[2], keepdims=0)
        return cls(
            before=_later(graph, told),
            given=given,
            levels=levels,
            present=graph.add("Reshape", present, graph.constant([-1, length], np.int64)),
            linked=same,
        )


def _new(links: NDArray[np.uint8], present: Numbers) -> Numbers:
    """1 where a value that is there was in none of the steps before, (n, s, links); 0 in the first
    step: where nothing is known everything is new, and nothing surprising."""
    earlier = _earlier(links.shape[1])[None, :, :, None] > 0
    known = ((links[:, :, None] == links[:, None]) & earlier).any(axis=2)
    fresh: Numbers = ((links > 0) & ~known).astype(np.float32)
    fresh[:, 0] = 0
    fresh[:, 1:] *= present[:, :-1, None]
    return fresh


def _new_nodes(graph: Graph, links: str, present: str, length: int) -> str:
    by_link = graph.add("Transpose", links, perm=[0, 2, 1])
    mine = graph.add("Unsqueeze", by_link, graph.constant([3], np.int64))
    theirs = graph.add("Unsqueeze", by_link, graph.constant([2], np.int64))
    same = graph.add("Mul", _equal(graph, mine, theirs), graph.constant(_earlier(length)))
    known = graph.add("ReduceMax", same, axes=[3], keepdims=0)
    there = graph.add("Min", by_link, graph.constant(1.0))
    new = graph.add("Mul", there, graph.add("Sub", graph.constant(1.0), known))
    by_step = graph.add("Transpose", new, perm=[0, 2, 1])
    return graph.add("Mul", by_step, _later(graph, present))


def _earlier(length: int) -> Numbers:
    """1 where the step of the second axis lies before that of the first, (s, s)."""
    return np.tril(np.ones((length, length), np.float32), -1)


def _later(graph: Graph, steps: str) -> str:
    """What the step before each one is, zeros before the first."""
    return graph.add("Pad", steps, graph.constant([0, 1, 0, 0, -1, 0], np.int64))


def _columns(graph: Graph, steps: str, columns: list[int]) -> str:
    """Some columns, by a matrix product: exact, and a quarter of the time that gathering takes."""
    chosen = np.eye(WIDTH, dtype=np.float32)[:, columns]
    return graph.add("MatMul", steps, graph.constant(chosen))


def _lowered(graph: Graph, steps: str, columns: list[int]) -> str:
    """Levels from bytes, which are one more."""
    lower = graph.add("Sub", _columns(graph, steps, columns), graph.constant(1.0))
    return graph.add("Max", lower, graph.constant(0.0))


def _equal(graph: Graph, one: str, other: str) -> str:
    return graph.add("Cast", graph.add("Equal", one, other), to=graph.FLOAT)
