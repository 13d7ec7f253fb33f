"""``ztad feedback`` as far as it goes without a gateway."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from services.cli import main
from tuning.data import read_labels


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "expected EVENT_ID with a disposition or --undo, or --list"),
        (["e1"], "expected EVENT_ID with a disposition or --undo, or --list"),
        (["e1", "safe", "--undo"], "expected EVENT_ID with a disposition or --undo, or --list"),
        (["e1", "fine"], "invalid choice: 'fine'"),
        (["--list", "--undo"], "not allowed with argument"),
        (["e1", "safe", "--url", "http://127.0.0.1:1"], "no gateway answers at"),
    ],
)
def test_what_cannot_be_is_one_line(
    words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["feedback", *words])
    except SystemExit as end:
        code = int(end.code or 0)
    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert problem in told.err


class _TwoPages(BaseHTTPRequestHandler):
    """``GET /v1/feedback`` of six words, four to a page, newest first."""

    words = ("e3 compromised", "e1 safe", "e2 undo", "e4 benign_true", "e2 compromised", "e1 safe")

    def do_GET(self) -> None:
        more = self.path.endswith("&after=3")
        words = self.words[4:] if more else self.words[:4]
        told = {"feedback": [_said(word) for word in words], "next": None if more else "3"}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


def _said(word: str) -> dict[str, str]:
    event_id, disposition = word.split()
    about = {"id": "1", "user_id": "ada", "at": "2026-11-22T08:00:00Z", "by": "ann"}
    return {"event_id": event_id, "disposition": disposition, **about}


def test_the_last_words_are_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "labels.csv"
    with ThreadingHTTPServer(("127.0.0.1", 0), _TwoPages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        assert main(["feedback", "--labels", str(out), "--url", url]) == 0
        server.shutdown()
    labels = read_labels(str(out))
    assert labels.types == {"e4": None, "e1": None, "e3": "compromised"}
    assert labels.anomalous == {"e3"}
    assert "3 events, 1 of them compromised" in capsys.readouterr().out
