"""``python -m tests.quality``: today's headline figures beside their floors; exit code 1 when one
is beyond its floor. ``--raise`` makes floors stricter where the figures allow it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.quality import floors
from tests.quality.measuring import measure, trained


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make quality", description=__doc__)
    parser.add_argument("--raise", action="store_true", dest="stricter", help="rewrite floors.toml")
    args = parser.parse_args(argv)
    with TemporaryDirectory(prefix="ztad-quality-") as folder:
        measured = measure(trained(Path(folder)))
    known = floors.read(floors.FILE.read_text("utf-8")) if floors.FILE.exists() else {}
    if args.stricter:
        known = floors.raised(known, measured)
        floors.FILE.write_text(floors.written(known), "utf-8")
    below = 0
    for name, table in measured.items():
        for figure, told in table.items():
            each = known.get(name, {}).get(figure)
            off = each is not None and bool(each.beyond(told.value))
            below += off
            print(f"{'BAD' if off else 'ok ':3} {name:15} {figure:34} {told.value:8.3f}  {each}")
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())
