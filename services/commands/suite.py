"""`ztad suite`: every scenario on several seeds, end to end, and one table of what was measured.

Each step is a `ztad` command of its own process, with its words in the log; a step that is done
with the same words is not done again, so a suite that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.commands.evaluate import SCENARIO
from services.progress import stages

if TYPE_CHECKING:
    from tuning.evaluation.suite import Plan

SUMMARY = "generate, train, evaluate and compare on every scenario; resumes where it was stopped"
#: What the suite writes into its directory; each scenario and seed has a folder beside them.
RESULTS, TABLE = "suite.json", "suite.md"
#: What each folder has besides what the commands write.
LOG, DONE = "log.txt", "done.json"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("suite", help=SUMMARY, description=SUMMARY)
    parser.add_argument(
        "--seeds", type=_seeds, required=True, metavar="A,B,C", help="of the sets to generate"
    )
    parser.add_argument("--events", type=int, default=50_000, help="of each (default 50,000)")
    parser.add_argument(
        "--scenarios", type=_names, default=(), metavar="A,B", help="only these (default all)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when every scenario was measured, whatever the figures; 1 when a step failed."""
    from tuning.evaluation.suite import PLANS

    unknown = [name for name in args.scenarios if name not in PLANS]
    if unknown:
        known = ", ".join(PLANS)
        print(f"ztad suite: no scenario {', '.join(unknown)}; known: {known}", file=sys.stderr)
        return 2
    plans = [plan for name, plan in PLANS.items() if name in args.scenarios or not args.scenarios]
    cases = [
        Case(plan, seed, args.events, args.out.absolute() / f"{plan.scenario}-{seed}")
        for plan in plans
        for seed in args.seeds
    ]
    with stages("suite", 4 * len(cases)) as enter:
        for case in cases:
            for step in case.steps():
                enter(f"{case.plan.scenario}, seed {case.seed}: {step.name}")
                if not step.run():
                    print(f"ztad suite: {step.name} failed; see {step.log}", file=sys.stderr)
                    return 1
    _tell(args.out, cases)
    return 0


@dataclass(frozen=True, slots=True)
class Step:
    """One ``ztad`` command; ``folder`` holds its log and what was done."""

    folder: Path
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.words[0]

    @property
    def log(self) -> Path:
        return self.folder / LOG

    def run(self) -> bool:
        """Whether it is done, now or before."""
        done = self._done()
        if done.get(self.name) == list(self.words):
            return True
        with self.log.open("a", encoding="utf-8") as log:
            print(f"$ ztad {' '.join(self.words)}", file=log, flush=True)
            command = [sys.executable, "-m", "services.cli", *self.words]
            ended = subprocess.run(command, stdout=log, stderr=log, check=False)
        if ended.returncode == 0:
            self._keep(done)
        return ended.returncode == 0

    def _keep(self, done: dict[str, list[str]]) -> None:
        """Steps that came after this one rest on what it wrote, so they are to be done again."""
        names = list(done)
        before = names[: names.index(self.name)] if self.name in done else names
        kept = {name: done[name] for name in before} | {self.name: list(self.words)}
        (self.folder / DONE).write_text(json.dumps(kept), encoding="utf-8")

    def _done(self) -> dict[str, list[str]]:
        path = self.folder / DONE
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


@dataclass(frozen=True, slots=True)
class Case:
    """One scenario with one seed."""

    plan: Plan
    seed: int
    events: int
    folder: Path

    def steps(self) -> Iterator[Step]:
        """The commands in order; those after the first rest on what it wrote."""
        self.folder.mkdir(parents=True, exist_ok=True)
        yield self._step(
            "generate", "--scenario", self.plan.scenario, "--events", self.events,
            "--seed", self.seed, "--out", self.folder,
        )  # fmt: skip
        facts = json.loads((self.folder / SCENARIO).read_text(encoding="utf-8"))
        cut = self.plan.judged_from(facts).isoformat()
        read = ("--events", self.folder / "events.csv")
        known = ("--labels", self.folder / "labels.csv")
        yield self._step(
            "train", *read, "--until", cut, "--no-register", "--out", self.folder / "model"
        )
        if self.plan.ablate:
            yield self._step("ablate", *read, *known, "--judge-from", cut, "--out", self.folder)
        yield self._step(
            "evaluate", "--bundle", self.folder / "model", *read, *known, "--from", cut,
            "--out", self.folder, *self._options(),
        )  # fmt: skip

    def metrics(self) -> dict[str, Any]:
        """What was measured."""
        from tuning.report import METRICS

        return dict(json.loads((self.folder / METRICS).read_text(encoding="utf-8")))

    def _options(self) -> list[object]:
        from tuning.report import ABLATION

        share = self.plan.expected_share
        return [
            *(["--ablation", self.folder / ABLATION] if self.plan.ablate else []),
            *(["--compare"] if self.plan.compare else []),
            *(["--expected-share", share] if share is not None else []),
        ]

    def _step(self, *words: object) -> Step:
        return Step(self.folder, tuple(map(str, words)))


def _tell(out: Path, cases: Sequence[Case]) -> None:
    from tuning.evaluation.suite import markdown, summary
    from tuning.report import render

    results: dict[str, list[Mapping[str, Any]]] = {}
    for case in cases:
        results.setdefault(case.plan.scenario, []).append(case.metrics())
    rows = summary(results)
    (out / RESULTS).write_bytes(render({"rows": rows}))
    table = "\n".join(markdown(rows))
    (out / TABLE).write_text(table + "\n", encoding="utf-8")
    print(table)


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(seed) for seed in text.split(","))
    except ValueError:
        message = f"{text!r}: expected whole numbers with commas between them, such as 101,102,103"
        raise argparse.ArgumentTypeError(message) from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))
