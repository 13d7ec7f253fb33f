"""The ``ztad`` command. Each command is a module of its own, imported when it is called."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import NoReturn

SUMMARY = "Zero-trust anomaly detection: scores every authentication event and says why."

#: Every command: a module with ``add_parser(subparsers)``, cheap to import, and ``run(args)``.
COMMANDS: dict[str, str] = {
    "generate": "services.commands.generate",
    "train": "services.commands.train",
    "score": "services.commands.score",
    "explain": "services.commands.explain",
    "evaluate": "services.commands.evaluate",
    "ablate": "services.commands.ablate",
    "suite": "services.commands.suite",
    "tune": "services.commands.tune",
    "models": "services.commands.models",
    "serve": "services.commands.serve",
    "routing": "services.commands.routing",
    "stream": "services.commands.stream",
    "stop": "services.commands.stop",
    "keys": "services.commands.keys",
    "alerts": "services.commands.alerts",
    "feedback": "services.commands.feedback",
    "store": "services.commands.store",
    "history": "services.commands.history",
    "replay": "services.commands.replay",
    "dlq": "services.commands.dlq",
    "doctor": "services.commands.doctor",
    "demo": "services.commands.demo",
    "bench": "services.commands.bench",
}

BAD_INPUT = 2
INTERRUPTED = 130
BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code: 0 only on success, 2 for bad usage or input."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parser(words).parse_args(words)
    except SystemExit as end:  # how argparse ends for --help and for bad usage
        return int(end.code or 0)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        print(f"ztad {args.command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; say nothing, and let nothing be flushed to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except _bad_input() as problem:
        print(f"ztad {args.command}: {_line(problem)}", file=sys.stderr)
        return BAD_INPUT


class _Parser(argparse.ArgumentParser):
    """Bad usage is one line that says where to read more."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(prog="ztad", description=SUMMARY, allow_abbrev=False)
    parser.add_argument("--version", action=_Version, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in _needed(words):
        import_module(COMMANDS[name]).add_parser(commands)
    return parser


def _needed(words: Sequence[str]) -> Iterable[str]:
    """The command that is called; all of them for help and for what is no command."""
    return words[:1] if words[:1] and words[0] in COMMANDS else COMMANDS


class _Version(argparse.Action):
    """Looked up only when asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:  # noqa: A002
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"ztad {version('ztad')}")
        except PackageNotFoundError:
            print("ztad (not installed: run from its source)")
        parser.exit()


def _bad_input() -> tuple[type[BaseException], ...]:
    """What a user can mend; evaluated only once something was raised."""
    from models.base import ModelError
    from preprocessing.history import HistoryError
    from preprocessing.sources import SourceError
    from services.commands.live import GatewayError
    from services.settings import SettingsError
    from services.storage.errors import StoreError
    from services.streaming.base import StreamError
    from tuning.data import LabelsError
    from tuning.train import TrainingError

    return (
        SourceError,
        HistoryError,
        ModelError,
        LabelsError,
        TrainingError,
        SettingsError,
        StoreError,
        StreamError,
        GatewayError,
        OSError,
    )


def _line(problem: BaseException) -> str:
    if isinstance(problem, OSError) and problem.filename is not None:
        return f"{problem.filename}: {problem.strerror}"
    return " ".join(str(problem).split())


if __name__ == "__main__":
    sys.exit(main())
