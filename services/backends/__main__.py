"""``python -m services.backends start|stop|restart|kill|status [postgres redis kafka]``"""

from __future__ import annotations

import argparse
import fcntl
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from services.backends.kafka import Kafka
from services.backends.postgres import Postgres
from services.backends.redis import Redis
from services.backends.server import Server, Unavailable

FOLDER = Path("build") / "backends"
SERVERS: dict[str, type[Server]] = {each.name: each for each in (Postgres, Redis, Kafka)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 when a server that is required cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m services.backends", description=__doc__)
    parser.add_argument("action", choices=sorted(ACTIONS))
    parser.add_argument("names", nargs="*", metavar="SERVER", help=f"of {', '.join(SERVERS)}")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="default: %(default)s")
    parser.add_argument("--require", action="store_true", help="fail when one cannot be had")
    args = parser.parse_args(arguments)
    unknown = set(args.names) - set(SERVERS)
    if unknown:
        parser.error(f"expected {', '.join(SERVERS)}, got {', '.join(sorted(unknown))}")
    servers = [each(args.folder, _say) for each in SERVERS.values()]
    wanted = [each for each in servers if each.name in (args.names or SERVERS)]
    with _alone(args.folder):
        good = [_done(ACTIONS[args.action], server) for server in wanted]
        _write(args.folder / "backends.json", servers)
    return 0 if all(good) or not args.require else 1


def _done(action: Callable[[Server], object], server: Server) -> bool:
    """Whether it worked; what went wrong with one server is no matter of the others."""
    try:
        action(server)
    except Unavailable as error:
        server.say(f"not available: {error}")
        return False
    return True


def _start(server: Server) -> None:
    server.start()


def _stop(server: Server) -> None:
    server.stop()
    server.say("is not running")


def _restart(server: Server) -> None:
    server.stop()
    server.start()


def _kill(server: Server) -> None:
    server.kill()
    server.say("is not running")


def _status(server: Server) -> None:
    process = server.running()
    server.say(f"{server.address}, process {process.pid}" if process else "is not running")


ACTIONS: dict[str, Callable[[Server], None]] = {
    "start": _start,
    "stop": _stop,
    "restart": _restart,
    "kill": _kill,
    "status": _status,
}


def _write(path: Path, servers: Sequence[Server]) -> None:
    """The addresses of those that run."""
    running = {each.name: each.address for each in servers if each.running() is not None}
    begun = path.with_suffix(".begun")
    begun.write_bytes(msgspec.json.format(msgspec.json.encode(running), indent=2) + b"\n")
    begun.replace(path)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two callers do not start the same server twice."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
