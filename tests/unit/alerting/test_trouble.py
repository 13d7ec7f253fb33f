"""What goes on is told twice: when it begins and when it ends."""

from __future__ import annotations

import logging

import pytest

from alerting.trouble import Trouble

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
