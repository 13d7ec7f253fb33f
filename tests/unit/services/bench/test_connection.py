"""Answers are cut out of the stream whatever pieces it comes in."""

import pytest

from services.bench.connection import Answer, AnswerParser, Malformed

VERDICT = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n"
    b'{"score": 0.25}'
)


def test_whole_answer() -> None:
    assert AnswerParser().feed(VERDICT) == Answer(200, b'{"score": 0.25}', last=False)


@pytest.mark.parametrize("size", [1, 7, 40])
def test_answer_in_pieces(size: int) -> None:
    parser = AnswerParser()
    pieces = [VERDICT[at : at + size] for at in range(0, len(VERDICT), size)]
    answers = [parser.feed(piece) for piece in pieces]
    assert answers[:-1] == [None] * (len(pieces) - 1)
    assert answers[-1] == Answer(200, b'{"score": 0.25}', last=False)


def test_one_answer_after_another() -> None:
    parser = AnswerParser()
    parser.feed(VERDICT)
    refused = parser.feed(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
    assert refused == Answer(503, b"", last=False)


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n", b"HTTP/1.0 500 Oops\r\n\r\n"]
)
def test_answer_before_the_connection_closes(head: bytes) -> None:
    assert AnswerParser().feed(head) == Answer(500, b"", last=True)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"x" * 70_000,
    ],
)
def test_what_cannot_be_measured(data: bytes) -> None:
    with pytest.raises(Malformed):
        AnswerParser().feed(data)
