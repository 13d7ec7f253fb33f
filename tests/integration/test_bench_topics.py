"""Topics of a measurement, on a real broker."""

from pathlib import Path

import yaml

from services.bench.topics import Topics, event_id
from services.streaming.args import StreamArgs

EVENT = b'{"event_id":"%d","user_id":"user %d"}'


def test_what_is_written_is_counted_and_keyed_by_user(kafka: str, tmp_path: Path) -> None:
    topics = Topics(kafka, partitions=2)
    settings = tmp_path / "kafka.yaml"
    topics.make(settings)
    try:
        assert StreamArgs.model_validate(yaml.safe_load(settings.read_text())) == topics.args
        sent = [EVENT % (number, number % 3) for number in range(30)] + [b"poison"]
        assert topics.fill(iter(sent)) == 31
        found = list(topics.sent())
        assert {message.value for message in found} == set(sent)
        for message in found:
            number = event_id(message.value)
            assert message.key == (f"user {int(number) % 3}".encode() if number else b"")
        assert topics.behind() == 31
        assert (list(topics.verdicts()), topics.dead_letters()) == ([], 0)
    finally:
        topics.drop()
