"""`ztad score`: events in, a verdict for each out, in one process."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from preprocessing.event import AuthEvent
from preprocessing.sources import Rejected
from services.commands.inputs import Counts, add_input_options, read_events
from services.commands.registering import local_bundle

if TYPE_CHECKING:
    from services.commands.findings import Findings

SUMMARY = "score events with a model bundle, offline"
#: Events scored between two learnings: as many as training learns at once.
BATCH = 250


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("score", help=SUMMARY, description=SUMMARY)
    parser.add_argument(
        "--bundle", type=Path, required=True,
        help="made by ztad train; or a registered version, or champion",
    )  # fmt: skip
    add_input_options(parser)
    parser.add_argument(
        "--out", required=True,
        help="verdicts as NDJSON, or CSV by suffix; .gz too; - for stdout. "
             "Bad lines go to OUT.rejected.ndjson, with - to stderr",
    )  # fmt: skip
    parser.add_argument(
        "--top", type=int, default=0, metavar="N", help="show the N most suspicious and why"
    )
    parser.add_argument(
        "--summary", action="store_true", help="show the ten most alerted addresses and users"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when every event has its verdict; rejected lines are told, not an error."""
    from services.commands.findings import Findings, show_summary, show_top

    _check_out(args)
    counts, findings = Counts(), Findings(most=max(0, args.top))
    _score(args, counts, findings)
    told = f"{counts.events:,} scored, {findings.alerts:,} alerts, {counts.rejected:,} rejected"
    print(f"{told}; {counts.refusals}" if counts.refusals else told, file=sys.stderr)
    shown = sys.stderr if args.out == "-" else sys.stdout
    if args.top > 0:
        show_top(findings, shown)
    if args.summary:
        show_summary(findings, shown)
    return 0


def batches(events: Iterable[AuthEvent], size: int = BATCH) -> Iterator[list[AuthEvent]]:
    """The events in lists of ``size``; the last may be shorter."""
    rest = iter(events)
    while batch := list(islice(rest, size)):
        yield batch


def _score(args: argparse.Namespace, counts: Counts, findings: Findings) -> None:
    from ensemble.scorer import Scorer, load_bundle
    from services.commands.outputs import output, verdict_writer

    bundle = load_bundle(local_bundle(args.bundle))
    scorer = Scorer(bundle)
    rejects = _Rejects(args.out)
    now_s = time.time()
    with ExitStack() as stack:
        stack.callback(rejects.discard)
        events = read_events(args, counts, doing="scoring", rejected=rejects.add)
        stream = stack.enter_context(output(args.out))
        verdicts = verdict_writer(args.out, stream, bundle.detectors)
        for batch in batches(events):
            scored = scorer.score(batch, now_s=now_s)
            verdicts.write(scored)
            findings.add(batch, scored)
        rejects.keep()


class _Rejects:
    """Bad lines: beside OUT, in a file that is there only if there are any, or on stderr."""

    def __init__(self, out: str) -> None:
        beside = out != "-" and (not Path(out).exists() or Path(out).is_file())
        self._path = Path(f"{out}.rejected.ndjson") if beside else None
        self._draft = Path(f"{out}.rejected.part") if beside else None
        self._stream: BinaryIO | None = None

    def add(self, rejected: Rejected) -> None:
        from services.commands.outputs import encode_rejected

        if self._draft is None:
            sys.stderr.buffer.write(encode_rejected(rejected))
            sys.stderr.flush()
            return
        if self._stream is None:
            self._stream = self._draft.open("wb")
        self._stream.write(encode_rejected(rejected))

    def keep(self) -> None:
        """The run went well: give the file its name, or remove one of an earlier run."""
        if self._path is None or self._draft is None:
            return
        if self._stream is None:
            self._path.unlink(missing_ok=True)
            return
        self._stream.close()
        os.replace(self._draft, self._path)

    def discard(self) -> None:
        """Leave nothing half done behind."""
        if self._stream is not None and self._draft is not None:
            self._stream.close()
            self._draft.unlink(missing_ok=True)


def _check_out(args: argparse.Namespace) -> None:
    out = Path(args.out)
    if args.out == "-":
        return
    if out.is_dir():
        raise IsADirectoryError(21, "is a directory; name a file", args.out)
    if args.events != "-" and out.exists() and os.path.samefile(out, args.events):
        raise FileExistsError(17, "holds the events; write the verdicts elsewhere", args.out)
