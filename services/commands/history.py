"""``ztad history``: how the shared history is, and making a history anew from the store."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from services.commands.ports import port
from services.settings import Settings, SettingsError, load
from services.shared_history.address import Where, where_of

if TYPE_CHECKING:
    from services.rebuilding import Rebuilding
    from services.shared_history.replacing import Replacing

SUMMARY = "show the shared history, or make a history anew from the store"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its actions."""
    parser = subparsers.add_parser("history", help=SUMMARY, description=SUMMARY)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    status = actions.add_parser("status", help="what of the shared history lies in Redis")
    status.add_argument("--history", help="redis://HOST:PORT/DB (default ZTAD_HISTORY)")
    status.set_defaults(run=_status)
    what = "observe every event on record again, and learn what its verdict called ordinary"
    rebuild = actions.add_parser("rebuild", help=what, description=what)
    rebuild.add_argument(
        "--bundle", type=Path, required=True,
        help="begin with the history of this bundle; or a registered version, or champion",
    )  # fmt: skip
    rebuild.add_argument(
        "--from-store", metavar="STORE",
        help="folder of the store, or postgresql://... (default: that of ztad serve)",
    )  # fmt: skip
    rebuild.add_argument(
        "--days", type=float, help="only events of the last DAYS (default: all on record)"
    )
    rebuild.add_argument(
        "--port", type=port, default=8000, help="whose folders, if none is named (default 8000)"
    )
    where = rebuild.add_mutually_exclusive_group()
    where.add_argument(
        "--history", help="redis://HOST:PORT/DB, also while replicas use it (default ZTAD_HISTORY)"
    )
    where.add_argument(
        "--state-dir", type=Path, help="folder of the history of a stopped ztad serve"
    )
    rebuild.set_defaults(run=_rebuild)


def _status(args: argparse.Namespace) -> int:
    """Exit code 0 when the history is there and whole, 1 otherwise."""
    from services.shared_history.redis_log import RedisLog

    settings = load()
    where = _where(args.history or settings.history, settings)
    if where is None:
        raise SettingsError("no Redis: name one with --history or ZTAD_HISTORY")
    log = RedisLog(where, hasty=False)
    status = log.status()
    log.close()
    if status is None:
        print(f"{where.name}: no history of this version of ztad in {where.url}")
        return 1
    age_s = time.time() - status.written_s
    print(f"{where.name}: {status.memory_bytes / 1e6:,.1f} MB in {where.url}")
    print(f"  snapshot  {status.snapshot_bytes / 1e6:,.1f} MB, written {age_s / 60:,.0f} min ago")
    print(f"  since     {status.entries - 1:,} operations")
    print(f"  expires   in {status.expires_s / 86400:.0f} days unless it is used")
    if not status.whole:
        print("  BAD       part of the snapshot is missing: was it evicted (maxmemory-policy)?")
    return 0 if status.whole else 1


def _rebuild(args: argparse.Namespace) -> int:
    """Exit code 0 once the new history is in its place."""
    settings = load()
    given = "" if args.state_dir else args.history or settings.history
    where = _where(given, settings)
    with ExitStack() as stack:
        replacing = stack.enter_context(_replacing(where)) if where else None
        made = _made(args, settings, replacing)
        if replacing is not None:
            replacing.finish(made.history.snapshot(), as_of=replacing.as_of)
        else:
            state_dir = args.state_dir or settings.home / "state" / str(args.port)
            _keep(made, state_dir)
    told = f"{made.events:,} events observed, {made.learned:,} of them learned"
    print(f"{told}, {made.unreadable:,} unreadable; {made.history.users:,} users known")
    return 0


def _made(args: argparse.Namespace, settings: Settings, replacing: Replacing | None) -> Rebuilding:
    from ensemble.scorer import load_bundle
    from services.commands.registering import local_bundle
    from services.progress import counting
    from services.rebuilding import Rebuilding
    from services.storage.base import Limits
    from services.storage.opening import open_store

    store_dir = settings.home / "store" / str(args.port)
    source = args.from_store or settings.database or str(store_dir)
    bundle = load_bundle(local_bundle(args.bundle))
    # Nothing is appended, so nothing is trimmed either.
    store = open_store(source, Limits(most_bytes=2**62, most_days=1e6, most_alert_days=1e6))
    now_s = time.time()
    try:
        made = Rebuilding(store, bundle)
        since_s = max(made.begins_s, now_s - args.days * 86400.0 if args.days else 0.0)
        with counting("rebuilding the history, events") as shown:

            def on_page(events: int) -> None:
                shown.advance(events)
                if replacing is not None:
                    replacing.hold()

            asyncio.run(made.run(since_s, now_s + 86400.0, on_page))
    finally:
        store.close()
    return made


@contextmanager
def _replacing(where: Where) -> Iterator[Replacing]:
    from services.shared_history.replacing import Replacing

    with Replacing(where) as replacing:
        yield replacing


def _keep(made: Rebuilding, state_dir: Path) -> None:
    """Raises ``preprocessing.statedir.HistoryLocked`` while a graph uses the folder."""
    from preprocessing.journal import JournaledHistory

    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = JournaledHistory(state_dir)
    kept.restore(made.history.snapshot())
    kept.close()


def _where(address: str, settings: Settings) -> Where | None:
    try:
        return where_of(address, settings.redis_password) if address else None
    except ValueError as error:
        raise SettingsError(f"--history: {error}") from None
