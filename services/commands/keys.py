"""``ztad keys``: make, list, rotate and revoke the API keys that a gateway admits."""

from __future__ import annotations

import argparse
import getpass
import sys
from datetime import UTC, datetime
from pathlib import Path

from services.audit import Audit, AuditFile, Entry, What
from services.keys import SCOPES, Key, KeysError, Scope, create, read, revoke, rotate, span
from services.settings import Settings, load

SUMMARY = "make, list, rotate and revoke API keys"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("keys", help=SUMMARY, description=SUMMARY)
    parser.add_argument("--keys-file", type=Path, help="default: ZTAD_KEYS_FILE or ZTAD_HOME")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    making = actions.add_parser("create", help="make a key and print it, this once")
    making.add_argument("--name", required=True, help="who will use it; audit lines say so")
    making.add_argument(
        "--scopes", default="score,read", help="of score, read, admin (default score,read)"
    )
    making.add_argument(
        "--expires", default="90d", help="how long it is good for, or never (default 90d)"
    )
    making.add_argument(
        "--rate", type=float, help="most requests a second (default: the gateway's)"
    )
    making.set_defaults(run=run, act=_create)
    actions.add_parser("list", help="every key but the keys themselves").set_defaults(
        run=run, act=_list
    )
    turning = actions.add_parser("rotate", help="a new key; the old one goes on for a while")
    turning.add_argument("name", metavar="NAME")
    turning.add_argument(
        "--grace", default="24h", help="how long the old one goes on (default 24h)"
    )
    turning.set_defaults(run=run, act=_rotate)
    ending = actions.add_parser("revoke", help="end every key of a name at once")
    ending.add_argument("name", metavar="NAME")
    ending.set_defaults(run=run, act=_revoke)


def run(args: argparse.Namespace) -> int:
    """Exit code 2 for what cannot be done; running gateways follow within about a second."""
    settings = load()
    path = args.keys_file or settings.keys_path
    try:
        args.act(args, path, settings)
    except KeysError as error:
        print(f"ztad keys: {error}", file=sys.stderr)
        return 2
    return 0


def _create(args: argparse.Namespace, path: Path, settings: Settings) -> None:
    expires = None if args.expires == "never" else datetime.now(UTC) + span(args.expires)
    scopes = _scopes(args.scopes)
    secret = create(path, args.name, scopes=scopes, expires=expires, requests_per_s=args.rate)
    _audit(settings, "key_created", args.name)
    until = "without end" if expires is None else f"until {_day(expires)}"
    _tell(f"{args.name} may {', '.join(scopes)} {until}; kept as a hash in {path}")
    _hand_over(secret)


def _rotate(args: argparse.Namespace, path: Path, settings: Settings) -> None:
    secret = rotate(path, args.name, grace=span(args.grace))
    _audit(settings, "key_rotated", args.name)
    _tell(f"{args.name} has a new key; the old one goes on for {args.grace}")
    _hand_over(secret)


def _revoke(args: argparse.Namespace, path: Path, settings: Settings) -> None:
    ended = revoke(path, args.name)
    _audit(settings, "key_revoked", args.name)
    print(f"{args.name}: {ended} key{'' if ended == 1 else 's'} revoked")


def _list(args: argparse.Namespace, path: Path, settings: Settings) -> None:
    if not path.exists():
        print(f"no keys in {path}; make one with 'ztad keys create'")
        return
    now = datetime.now(UTC)
    rows: list[tuple[str, ...]] = [
        ("NAME", "KEY", "SCOPES", "CREATED", "EXPIRES", "REQUESTS/S", "STATE")
    ]
    rows += [_row(key, now) for key in read(path)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _row(key: Key, now: datetime) -> tuple[str, ...]:
    return (
        key.name,
        key.fingerprint,
        ",".join(key.scopes),
        _day(key.created),
        _day(key.expires) if key.expires else "never",
        f"{key.requests_per_s:g}" if key.requests_per_s else "",
        "in force" if key.in_force(now) else "revoked" if key.revoked else "expired",
    )


def _scopes(text: str) -> tuple[Scope, ...]:
    given = [word.strip() for word in text.split(",")]
    unknown = [word for word in given if word not in SCOPES]
    if unknown:
        raise KeysError(f"scope {unknown[0]!r}: expected some of {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in given)


def _audit(settings: Settings, what: What, name: str) -> None:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "unknown"
    entry = Entry(what=what, status=0, caller=f"command-line:{user}", target=name)
    Audit(AuditFile(settings.audit_path)).done(entry)


def _hand_over(secret: str) -> None:
    """The key alone on standard output, so that it can go straight to where secrets are kept."""
    _tell("this key is shown once, now:")
    print(secret, flush=True)


def _day(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
