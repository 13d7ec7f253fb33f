"""``ztad models``: the registered model versions, what they are and what part they play."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from services.commands.comparing import diff
from services.commands.inputs import add_input_options
from services.commands.live import add_gateway_options
from services.commands.promotion import promote, rollback
from services.commands.registering import name_version, registry_of
from services.settings import load

if TYPE_CHECKING:
    from models.aliases import Change
    from models.registry import ModelVersion

SUMMARY = "list, show, compare, promote and roll back model versions"
#: As models.aliases.ALIASES, which costs an import of numpy; a test compares them.
ALIASES = ("champion", "challenger", "shadow")
_A_VERSION = "a version such as 2026-11-22.1, or champion, challenger, shadow"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its actions."""
    parser = subparsers.add_parser("models", help=SUMMARY, description=SUMMARY)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="every registered version, the newest first")
    listing.add_argument("--json", action="store_true", help="with everything that is known")
    listing.set_defaults(run=_list)
    show = actions.add_parser("show", help="one version: metrics, origin, the parts it played")
    show.add_argument("version", metavar="VERSION", help=_A_VERSION)
    show.add_argument("--json", action="store_true", help="for programs")
    show.set_defaults(run=_show)
    _add_register(actions)
    _add_fetch(actions)
    _add_promote(actions)
    _add_rollback(actions)
    _add_diff(actions)


def _add_register(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser("register", help="add a bundle that was trained unregistered")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="made by ztad train")
    parser.add_argument(
        "--alias", choices=ALIASES, help="what it becomes; default: champion if there is none"
    )
    parser.set_defaults(run=_register)


def _add_fetch(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser("fetch", help="bring a version here, verified; prints its folder")
    parser.add_argument(
        "version", metavar="VERSION", nargs="?", default="champion", help=_A_VERSION
    )
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help="copy it there as well; a bundle there is replaced"
    )
    parser.set_defaults(run=_fetch)


def _add_promote(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser("promote", help="let a version play a part, live as well")
    parser.add_argument("version", metavar="VERSION", help=_A_VERSION)
    parser.add_argument("--alias", choices=ALIASES, default="champion", help="default champion")
    parser.add_argument(
        "--weight", type=_percent, metavar="PERCENT",
        help="of the users, answered by it; the other one answers the rest",
    )  # fmt: skip
    add_gateway_options(parser)
    parser.set_defaults(run=promote)


def _add_rollback(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser("rollback", help="what played a part before plays it again")
    parser.add_argument("--alias", choices=ALIASES, default="champion", help="default champion")
    add_gateway_options(parser)
    parser.set_defaults(run=rollback)


def _add_diff(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser("diff", help="compare two versions: origin, and what they alert on")
    for name in ("first", "second"):
        parser.add_argument(name, metavar=name.upper(), help=f"{_A_VERSION}, or a bundle's folder")
    add_input_options(parser, required=False)
    parser.add_argument("--labels", metavar="IN", help="known anomalies: which version finds more?")
    parser.add_argument("--json", action="store_true", help="with up to 1,000 events of each side")
    parser.set_defaults(run=diff)


def _list(args: argparse.Namespace) -> int:
    """Exit code 0, also when there is none yet."""
    registry = registry_of(load())
    versions = registry.versions()
    if args.json:
        _print_json(versions)
    elif versions:
        _console().print(_table(versions))
    else:
        print("no version is registered yet: make one with 'ztad train'", file=sys.stderr)
    return 0


def _show(args: argparse.Namespace) -> int:
    """Exit code 0 when there is such a version."""
    registry = registry_of(load())
    version = registry.version(args.version)
    moves = [move for move in registry.history() if version.version in (move.before, move.after)]
    folder = registry.folder / version.version
    if args.json:
        _print_json({"version": version, "moves": moves, "folder": str(folder)})
        return 0
    _console().print(_details(version, folder))
    for move in moves:
        print(_told(move))
    return 0


def _register(args: argparse.Namespace) -> int:
    """Exit code 0 once the bundle is registered, also when it was before."""
    from models.bundle import Bundle

    bundle = Bundle.load(args.bundle)
    registry = registry_of(load())
    known = any(one.checksum == bundle.manifest.checksum for one in registry.versions())
    run = "" if known else registry.tracking.log_training(bundle)
    version = registry.register(bundle, run).version
    alias = name_version(registry, version, args.alias)
    print(f"registered as {version}{f', the {alias}' if alias else ''}")
    return 0


def _fetch(args: argparse.Namespace) -> int:
    """Exit code 0 once the bundle is here and verified; its folder on stdout."""
    from models.bundle import Bundle, copy_bundle

    folder = registry_of(load()).fetch(args.version)
    if args.to is not None:
        folder = copy_bundle(Bundle.load(folder), args.to).path
    print(folder)
    return 0


def _table(versions: list[ModelVersion]) -> Any:
    from rich.table import Table

    table = Table()
    for name in ("version", "is", "made", "events", "users", "until", "threshold", "from"):
        right = name in ("events", "users", "threshold")
        table.add_column(name, justify="right" if right else "left")
    for one in versions:
        metrics = one.metrics
        table.add_row(
            one.version,
            ", ".join(one.aliases),
            one.created.replace("T", " ")[:16],
            *(_count(metrics.get(name)) for name in ("events", "users")),
            str(metrics.get("last_event", ""))[:10],
            f"{metrics['threshold']:.6f}" if "threshold" in metrics else "",
            _origin(one),
        )
    return table


def _details(version: ModelVersion, folder: Path) -> Any:
    from rich.table import Table

    table = Table(show_header=False, box=None)
    told = {
        "version": version.version,
        "is": ", ".join(version.aliases) or "nothing at present",
        "made": version.created,
        "from": _origin(version) or "a training of its own",
        "detectors": ", ".join(version.detectors),
        **{name: value for name, value in version.metrics.items() if not isinstance(value, list)},
        "training data": version.fingerprint,
        "checksum": version.checksum,
        "MLflow run": version.run,
        "folder": str(folder) if folder.exists() else "not fetched yet",
    }
    for name, value in told.items():
        table.add_row(name, str(value))
    return table


def _told(move: Change) -> str:
    verb = "went back" if move.back else "went"
    versions = f"from {move.before or 'none'} to {move.after or 'none'}"
    return f"{move.at}  {move.alias} {verb} {versions} by {move.by}"


def _origin(version: ModelVersion) -> str:
    parts = [f"retrained {version.retrained_from}"] if version.retrained_from else []
    parts += [f"search {version.parent[:8]}"] if version.parent else []
    return ", ".join(parts)


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else ""


def _console() -> Any:
    from services.commands.findings import console

    return console(sys.stdout)


def _print_json(value: object) -> None:
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value)) + b"\n")


def _percent(text: str) -> float:
    try:
        percent = float(text)
    except ValueError:
        percent = -1.0
    if not 0.0 <= percent <= 100.0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a percentage from 0 to 100")
    return percent
