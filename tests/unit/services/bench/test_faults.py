"""What a timeline says about a kill."""

import pytest

from services.bench.faults import account
from services.bench.outcome import Answered


def ok(sent: float, took: float = 0.01, *, degraded: bool = False) -> Answered:
    return Answered(sent, sent + took, "200", degraded)


def test_nothing_happened() -> None:
    fault = account("Explainer", [ok(at) for at in range(100, 131)], 100.0, 2.0)
    assert (fault.failed, fault.recovered_s, fault.back_s) == (0, 0.0, 2.0)
    assert fault.answers == {"200": 31}
    assert fault.longest_gap_s == pytest.approx(1.0)


def test_requests_before_the_kill_and_long_after_do_not_count() -> None:
    fault = account("Gateway", [ok(90), ok(99.5, 1.0), ok(110), ok(131)], 100.0, None)
    assert fault.requests == 2
    assert fault.longest_gap_s == pytest.approx(19.99)


def test_degraded_is_no_error_but_not_recovered() -> None:
    timeline = [ok(101, degraded=True), ok(103, degraded=True), ok(104)]
    fault = account("Autoencoder", timeline, 100.0, 3.5)
    assert fault.answers == {"200 degraded": 2, "200": 1}
    assert fault.error_share == 0
    assert fault.recovered_s == pytest.approx(3.01)


def test_errors_by_kind() -> None:
    timeline = [
        ok(101),
        Answered(102, 107, "503", False),
        Answered(103, 103, "refused", False),
        Answered(104, 104.1, "500", False),
        ok(108, 1.5),
    ]
    fault = account("Gateway", timeline, 100.0, None)
    assert fault.answers == {"200": 2, "503": 1, "refused": 1, "500": 1}
    assert fault.failed == 3
    assert fault.error_share == pytest.approx(0.6)
    assert fault.slowest_s == pytest.approx(5.0)
    assert fault.recovered_s == pytest.approx(9.5), "a slow answer was waiting for the new replica"


def test_no_answer_at_all() -> None:
    fault = account("Gateway", [], 100.0, None)
    assert (fault.requests, fault.error_share, fault.longest_gap_s) == (0, 0.0, 30.0)
