"""One replica of a shared history in a process of its own: ``python -m tests.integration.sharing
URL NAME WRITER EVENTS``. Says when it has begun, when it has observed and learned its events, and
at every line read what its history is."""

from __future__ import annotations

import hashlib
import sys

from services.shared_history.address import Where
from services.shared_history.history import SharedHistory
from tests.integration.events import NOW_S, event


def main() -> None:
    url, name, writer, count = sys.argv[1:]
    history = SharedHistory(Where(url=url, name=name))
    size = 1
    for start in range(0, int(count), 50):
        ids = [f"{writer}-{number}" for number in range(start, start + 50)]
        events = [event(id_) for id_ in ids]
        for at in range(0, len(events), size):
            history.observe(events[at : at + size], now_s=NOW_S)
        history.learn(ids)
        size = size % 7 + 1
        if start == 0:
            print("begun", flush=True)
    print("written", flush=True)
    for _ in sys.stdin:
        print(hashlib.sha256(history.snapshot()).hexdigest(), flush=True)
    history.close()


if __name__ == "__main__":
    main()
