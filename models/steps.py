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
    """The same as names of tensors in an ONNX graph, time first and flat: row t n + i is step t of
    trail i, so that everything is one product of two matrices and a step is a run of rows.

    ``bytes_`` (s n, WIDTH) as floats; ``told`` (s n, TOLD) tells the step itself, in the pieces of
    :func:`in_pieces`; ``counts`` (s, n) is 1 where there was an event that came from the device and
    the network of the last.
    """

    bytes_: str
    told: str
    counts: str

    @classmethod
    def of(cls, graph: Graph, trails: str, length: int) -> Nodes:
        """The nodes of :meth:`Steps.of`, for trails of ``length`` steps."""
        by_time = graph.add("Transpose", trails, perm=[1, 0, 2])
        flat = graph.constant([-1, WIDTH], np.int64)
        bytes_ = graph.add("Reshape", graph.add("Cast", by_time, to=graph.FLOAT), flat)
        first = graph.add("Reshape", _columns(graph, bytes_, [0]), _by_step(graph, length))
        present = _at_most_one(graph, first)
        new = _new_nodes(graph, bytes_, present, length)
        told = graph.add("Concat", _pieces(graph, bytes_), new, axis=1)
        return cls(bytes_, told, _counts(graph, bytes_, present, length))


def in_pieces(kernel: Numbers) -> Numbers:
    """What multiplies ``Nodes.told`` (TOLD, k), from what multiplies a row of ``Steps.before``.

    The two tell the same. With r(x) = max(x, 0) and a level l, min(l, 1) is r(l) - r(l - 1), so l
    and l - 1 stand where l over its most and min(l, 1) did: sums of bytes, cut off at 0.
    """
    given, scaled, some, new = np.split(kernel, [GIVEN, GIVEN + HEADS, GIVEN + 2 * HEADS])
    return np.concatenate([given, scaled / _MOST[:, None] + some, -some, new])


def _pieces(graph: Graph, bytes_: str) -> str:
    """The gap, 1 for the kind, every level and every level less one: (s n, TOLD - links).

    The kind k is j where 1 - (k - j)^2 is above 0, which is a sum of k, its square and 1.
    """
    weights = np.zeros((WIDTH + 1, GIVEN + 2 * HEADS))
    constants = np.zeros(GIVEN + 2 * HEADS)
    kinds = np.arange(1, KINDS + 1)
    weights[_GAP, 0], constants[0] = 1 / _MOST_GAP, -1 / _MOST_GAP
    weights[_KIND, kinds], weights[WIDTH, kinds] = 2 * kinds, -1
    constants[kinds] = 1 - kinds**2
    for head, column in enumerate(_ORDERED):
        weights[column, [GIVEN + head, GIVEN + HEADS + head]] = 1
    constants[GIVEN : GIVEN + HEADS], constants[GIVEN + HEADS :] = -1, -2
    kind = _columns(graph, bytes_, [_KIND])
    both = graph.add("Concat", bytes_, graph.add("Mul", kind, kind), axis=1)
    sums = graph.add("Gemm", both, graph.constant(weights), graph.constant(constants))
    return graph.add("Relu", sums)


def _counts(graph: Graph, bytes_: str, present: str, length: int) -> str:
    steps = graph.constant([length, -1, len(_WHERE)], np.int64)
    where = graph.add("Reshape", _columns(graph, bytes_, _WHERE), steps)
    last = graph.add("Gather", where, graph.constant([length - 1], np.int64), axis=0)
    apart = graph.add("Abs", graph.add("Sub", where, last))
    distance = graph.add("MatMul", apart, graph.constant(np.ones((len(_WHERE), 1))))
    distances = graph.add("Reshape", distance, _by_step(graph, length))
    return graph.add("Relu", graph.add("Sub", present, distances))


def _new(links: NDArray[np.uint8], present: Numbers) -> Numbers:
    """1 where a value that is there was in none of the steps before, (n, s, links); 0 in the first
    step: where nothing is known everything is new, and nothing surprising."""
    earlier = _earlier(links.shape[1])[None, :, :, None] > 0
    known = ((links[:, :, None] == links[:, None]) & earlier).any(axis=2)
    fresh: Numbers = ((links > 0) & ~known).astype(np.float32)
    fresh[:, 0] = 0
    fresh[:, 1:] *= present[:, :-1, None]
    return fresh


def _new_nodes(graph: Graph, bytes_: str, present: str, length: int) -> str:
    """:func:`_new` (s n, links): the smallest distance to an earlier link, at most 1, is 0 where
    the value is known."""
    by_step = graph.constant([length, -1, len(_LINKS)], np.int64)
    chosen = graph.add("Reshape", _columns(graph, bytes_, _LINKS), by_step)
    links = graph.add("Transpose", chosen, perm=[2, 1, 0])
    near = graph.add("Min", _nearest(graph, links, length), links)
    rows = graph.constant([-1, len(_LINKS)], np.int64)
    fresh = graph.add("Reshape", graph.add("Transpose", near, perm=[2, 1, 0]), rows)
    before = graph.add("Pad", present, graph.constant([1, 0, -1, 0], np.int64))
    column = graph.add("Reshape", before, graph.constant([-1, 1], np.int64))
    after = graph.add("MatMul", column, graph.constant(np.ones((1, len(_LINKS)))))
    return graph.add("Mul", _at_most_one(graph, fresh), after)


def _nearest(graph: Graph, links: str, length: int) -> str:
    """The least difference of each link to one of an earlier step, (links, n, s)."""
    mine = np.repeat(np.eye(length), length, axis=1)
    theirs = np.tile(np.eye(length), length)
    # Beyond every difference of two bytes.
    never = (1.0 - _earlier(length)) * 1000.0
    rows = graph.add("Reshape", links, graph.constant([-1, length], np.int64))
    weights, out = graph.constant(mine - theirs), graph.constant(never.ravel())
    apart = graph.add("Abs", graph.add("Gemm", rows, weights, out))
    pairs = graph.add("Reshape", apart, graph.constant([-1, length], np.int64))
    least = graph.add("ReduceMin", pairs, axes=[1], keepdims=0)
    return graph.add("Reshape", least, graph.constant([len(_LINKS), -1, length], np.int64))


def _earlier(length: int) -> Numbers:
    """1 where the step of the second axis lies before that of the first, (s, s)."""
    return np.tril(np.ones((length, length), np.float32), -1)


def _columns(graph: Graph, steps: str, columns: list[int]) -> str:
    """Some columns, by a matrix product: exact, and a quarter of the time that gathering takes."""
    chosen = np.eye(WIDTH, dtype=np.float32)[:, columns]
    return graph.add("MatMul", steps, graph.constant(chosen))


def strangers(graph: Graph, bytes_: str) -> str:
    """1 for the levels that are as strange as that of a step or stranger, (m, HEADS *
    MOST_LEVELS), from the bytes of m steps; of a level beyond the last one there is none."""
    weights = np.zeros((WIDTH, HEADS, MOST_LEVELS))
    weights[_ORDERED, np.arange(HEADS)] = -1
    names = np.tile(np.arange(MOST_LEVELS) + 2, HEADS)
    flat = graph.constant(weights.reshape(WIDTH, -1))
    less = graph.add("Gemm", bytes_, flat, graph.constant(names))
    return _at_most_one(graph, less)


def _by_step(graph: Graph, length: int) -> str:
    return graph.constant([length, -1], np.int64)


def _at_most_one(graph: Graph, x: str) -> str:
    """Between 0 and 1; Min takes ten times as long."""
    return graph.add("Clip", x, graph.constant(0.0), graph.constant(1.0))
