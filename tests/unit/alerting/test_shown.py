"""Nothing that an event brings reaches people as anything but text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.shown import MOST_SHOWN, Ours, shown, shown_in_chat


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ann@example.org", "ann@example.org"),
        ("svc_backup-2", "svc_backup-2"),
        ("Zürich 東京", "Zürich 東京"),
        ("a\nb\tc\x1b[31m", "a�b�c�[31m"),
        ("\u202egnp.exe", "�gnp.exe"),
        ("https://evil.example", "https[:]//evil.example"),
        ("x" * 400, "x" * (MOST_SHOWN - 1) + "…"),
    ],
)
def test_names_are_shown_and_tricks_are_not(text: str, expected: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<!channel> <@U123> <https://evil|ok>", "‹!channel› ‹@U123› ‹https[:]//evil|ok›"),
        ("@everyone @HERE @all-hands", "@ everyone @ HERE @ all-hands"),
        ("[reset](mailto:x) `code`", "[reset] (mailto:x) 'code'"),
        ("ann@example.org", "ann@example.org"),
    ],
)
def test_nobody_is_called_and_nothing_is_linked_in_chats(text: str, expected: str) -> None:
    assert shown_in_chat(text) == expected


@given(st.text())
def test_whatever_comes_is_one_printable_line(text: str) -> None:
    for clean in (shown(text), shown_in_chat(text)):
        assert all(unicodedata.category(char)[0] != "C" for char in clean)
        assert len(clean.splitlines()) <= 1
        assert "://" not in clean


def test_our_own_links_stay_links() -> None:
    link = Ours("https://ztad.example.org/v1/alerts/1")
    assert shown(link) == shown_in_chat(link) == "https://ztad.example.org/v1/alerts/1"
