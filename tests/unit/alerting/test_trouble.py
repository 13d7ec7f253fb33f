"""What goes on is told when it begins, now and then, and when it ends; every cause of it."""

from __future__ import annotations

import logging

import pytest

from alerting.trouble import AGAIN_S, MOST_CAUSES, Trouble

LOG = logging.getLogger("ztad.test")


def test_a_line_when_it_begins_and_one_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    trouble = Trouble(LOG, "nothing is written")
    trouble.over()
    for _ in range(3):
        trouble.shows(OSError("no space"))
    trouble.over()
    trouble.over()
    trouble.shows(OSError("again"))
    assert [record.getMessage() for record in caplog.records] == [
        "nothing is written (no space); tried again until it works",
        "no more: nothing is written; it was tried 3 times",
        "nothing is written (again); tried again until it works",
    ]


def test_every_cause_is_told_and_told_again_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    trouble = Trouble(LOG, "nothing is written", lambda: now_s)
    for _ in range(3):
        trouble.shows(OSError("no space"))
        trouble.shows(OSError("is read-only"))
    now_s = AGAIN_S
    trouble.shows(TimeoutError())
    trouble.shows(OSError("no space"))
    trouble.shows(OSError("no space"))
    trouble.over()
    assert [record.getMessage() for record in caplog.records] == [
        "nothing is written (no space); tried again until it works",
        "nothing is written (is read-only); tried again until it works",
        "nothing is written (TimeoutError); tried again until it works",
        "nothing is written (no space); this 4 times by now",
        "no more: nothing is written; it was tried 9 times",
    ]


def test_an_error_that_says_something_else_each_time_fills_no_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now_s = 0.0
    trouble = Trouble(LOG, "nothing is written", lambda: now_s)
    for number in range(100):
        trouble.shows(OSError(f"row {number}"))
    assert len(caplog.records) == MOST_CAUSES + 1
    now_s = AGAIN_S
    trouble.shows(OSError("row 100"))
    told = "nothing is written (row 100); this and other causes 93 times by now"
    assert caplog.records[-1].getMessage() == told
