"""services/storage/packing.py: every verdict comes back byte for byte."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.verdict import Reason, Severity, Verdict
from services.repeats import marked
from services.storage.packing import AS_IT_CAME, decode_frame, pack, unpack
from tests.unit.services.storage.batches import encoded, verdict

SHARE = st.floats(0, 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
REASON = st.builds(Reason, TEXT, TEXT, TEXT, TEXT, TEXT, SHARE)
VERDICT = st.builds(
    Verdict,
    event_id=TEXT,
    user_id=TEXT,
    score=SHARE,
    threshold=SHARE,
    reasons=st.lists(REASON, max_size=3).map(tuple),
    detectors=st.dictionaries(TEXT, SHARE, max_size=4),
    variant=TEXT,
    model_version=TEXT,
    trace_id=TEXT,
)


def came_back(event_id: str, one: bytes) -> bytes:
    packed = pack(event_id, one)
    return unpack(decode_frame(packed.frame), event_id, packed.user_id, packed.document)


@given(VERDICT)
def test_every_verdict_comes_back(one: Verdict) -> None:
    assert came_back(one.event_id, encoded(one)) == encoded(one)


@given(VERDICT)
def test_also_one_that_was_marked_a_repeat(one: Verdict) -> None:
    repeated = marked(encoded(one), duplicate=True)
    assert came_back(one.event_id, repeated) == repeated


@pytest.mark.parametrize("severity", ["low", "medium", "high", "critical"])
def test_what_a_verdict_is_found_by(severity: Severity) -> None:
    one = verdict("a", severity, "impossible_travel", user_id="ann", score=0.9999)
    packed = pack("a", encoded(one))
    assert (packed.user_id, packed.reason, packed.score) == ("ann", "impossible_travel", 0.9999)
    assert packed.severity == ["info", "low", "medium", "high", "critical"].index(severity)


def test_what_is_common_is_in_the_frame() -> None:
    one, other = pack("a", encoded(verdict("a"))), pack("b", encoded(verdict("b", score=0.7)))
    assert one.frame == other.frame
    assert len(one.document) < len(encoded(verdict("a"))) / 4


def test_a_field_of_a_later_ztad_is_kept() -> None:
    later = encoded(verdict("a"))[:-1] + b',"mood":{"today":[1,2.5,null]}}'
    assert decode_frame(pack("a", later).frame) != AS_IT_CAME
    assert came_back("a", later) == later


@pytest.mark.parametrize(
    "odd",
    [
        msgspec.json.format(encoded(verdict("a"))),  # spaces
        encoded(verdict("a")).replace(b"0.999", b"0.9990"),  # a number as nobody writes it
        encoded(verdict("b")),  # says another event than it is kept under
    ],
    ids=["spaces", "number", "event"],
)
def test_what_would_not_come_back_is_kept_as_it_came(odd: bytes) -> None:
    assert decode_frame(pack("a", odd).frame) == AS_IT_CAME
    assert came_back("a", odd) == odd


@pytest.mark.parametrize("nothing", [b"[]", b"{}", b"nonsense", b'"text"', b"7", b'{"user_id":1}'])
def test_what_is_no_verdict_is_refused(nothing: bytes) -> None:
    with pytest.raises(ValueError, match=r"'a' has no verdict|malformed"):
        pack("a", nothing)
