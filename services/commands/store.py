"""``ztad store``: which schema the store's tables have, and the way from one to another."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from services.settings import Settings, SettingsError, load

if TYPE_CHECKING:
    from services.storage.migrations.places import Place

SUMMARY = "show and change the schema of the store, while ztad is stopped"
#: As in ``ztad serve``, whose store this is without another word.
PORT = 8000
_REVISION = "its number, base (no tables) or head (the newest)"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its actions."""
    parser = subparsers.add_parser("store", help=SUMMARY, description=SUMMARY)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    current = actions.add_parser("current", help="the revision of each part, and the newest")
    current.set_defaults(run=_current)
    history = actions.add_parser("history", help="every revision, the oldest first")
    history.set_defaults(run=_history)
    up = actions.add_parser("upgrade", help="as every start does by itself")
    up.add_argument("revision", metavar="REVISION", nargs="?", default="head", help=_REVISION)
    up.set_defaults(run=_upgrade)
    down = actions.add_parser("downgrade", help="to what an earlier ztad reads")
    down.add_argument("revision", metavar="REVISION", help=_REVISION)
    down.add_argument("--yes", action="store_true", help="also where that loses what is stored")
    down.set_defaults(run=_downgrade)
    copy = actions.add_parser("copy", help="everything in a folder into an empty PostgreSQL")
    copy.add_argument("--from", dest="source", type=Path, metavar="DIR", required=True)
    copy.add_argument("--to", metavar="ADDRESS", required=True, help="postgresql://...")
    copy.set_defaults(run=_copy)
    for action in (current, history, up, down):
        action.add_argument("--only", choices=("verdicts", "alerts"), help="that part alone")
        where = action.add_mutually_exclusive_group()
        where.add_argument("--database", help="postgresql://user@host:port/name")
        where.add_argument("--store-dir", type=Path, metavar="DIR", help="folder of the files")


def _current(args: argparse.Namespace) -> int:
    """Exit code 0 when the revision of every part is known to this ztad."""
    for name, place in _places(args).items():
        at = place.current()
        newest = "the newest" if at == place.chain.head else f"the newest is {place.chain.head}"
        print(f"{name}  {at}  {newest}  {place.where}")
    return 0


def _history(args: argparse.Namespace) -> int:
    """Exit code 0."""
    from services.storage.migrations.chain import BASE

    for name, place in _places(args).items():
        at = place.current()
        for step in place.chain.between(BASE, place.chain.head):
            here = "  <- here" if step.name == at else ""
            print(f"{name}  {step.name}  {step.summary}{here}")
    return 0


def _upgrade(args: argparse.Namespace) -> int:
    """Exit code 0 once every part is there, also when it was before."""
    for name, place in _to_move(args).items():
        wanted, at = place.chain.wanted(args.revision), place.current()
        if _is_above(place, at, wanted):
            return _refused(f"{name}: at {at}, above {wanted}: ztad store downgrade leads there")
        _move(name, place, wanted)
    return 0


def _downgrade(args: argparse.Namespace) -> int:
    """Exit code 0 once every part is there; 2 where that loses something and nobody agreed."""
    moving = _to_move(args)
    lost = []
    for name, place in moving.items():
        wanted, at = place.chain.wanted(args.revision), place.current()
        if _is_above(place, wanted, at):
            return _refused(f"{name}: at {at}, below {wanted}: ztad store upgrade leads there")
        lost += [step.loses for step in place.chain.between(wanted, at) if step.loses]
    if lost and not args.yes:
        told = f"this deletes for good: {'; '.join(lost)}."
        return _refused(f"{told} Make a copy (docs/operations.md), then say --yes")
    for name, place in moving.items():
        _move(name, place, place.chain.wanted(args.revision))
    return 0


def _copy(args: argparse.Namespace) -> int:
    """Exit code 0 once everything is there; called again it goes on where it was stopped."""
    from services.progress import progress
    from services.storage.postgres.copying import Copy

    copy = Copy(args.source, _address(args.to))
    total = copy.prepare()
    with progress("copying", total) as bar:
        asyncio.run(copy.run(bar.advance))
    if missing := asyncio.run(copy.missing()):
        return _refused(f"not everything is there: {'; '.join(missing)}")
    print(f"{total:,} lines are there: serve them with --database {args.to}")
    return 0


def _address(text: str) -> str:
    """Raises :class:`SettingsError`."""
    from services.storage.postgres.address import checked

    try:
        return checked(text)
    except ValueError as error:
        raise SettingsError(f"--to: {error}") from None


def _move(name: str, place: Place, to: str) -> None:
    begin = place.move(to)
    what = f"{begin} -> {to}" if begin != to else f"at {to} already"
    print(f"{name}  {what}  {place.where}")


def _is_above(place: Place, one: str, other: str) -> bool:
    names = place.chain.names
    return names.index(one) > names.index(other)


def _places(args: argparse.Namespace) -> dict[str, Place]:
    from services.storage.migrations.places import places

    found = places(where_of(args, load()))
    return {name: place for name, place in found.items() if args.only in (None, name)}


def _to_move(args: argparse.Namespace) -> dict[str, Place]:
    """Raises UnknownRevision where a number could be that of either part."""
    from services.storage.errors import StoreError
    from services.storage.migrations.chain import BASE

    found = _places(args)
    if len(found) > 1 and args.revision not in (BASE, "head"):
        mend = "add --only verdicts or --only alerts"
        raise StoreError(
            f"revision {args.revision}", "verdicts and alerts count on their own", mend
        )
    return found


def where_of(args: argparse.Namespace, settings: Settings) -> str:
    """The store that is meant: an address, or a folder."""
    from services.commands.serve import checked_database

    if args.store_dir is not None:
        return str(args.store_dir)
    return checked_database(args.database) or default_store(settings)


def default_store(settings: Settings) -> str:
    """The store of ``ztad serve`` where nothing is said: an address, or a folder."""
    return settings.database or str(settings.home / "store" / str(PORT))


def _refused(why: str) -> int:
    print(f"ztad store: {why}", file=sys.stderr)
    return 2
