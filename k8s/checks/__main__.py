"""``python -m k8s.checks``: render every overlay and check it whole; exit code 1 on any mistake."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from k8s.checks import alerts, images, kustomize, ports, ray, references, schemas, security, serve
from k8s.checks.manifests import OVERLAYS, ROOT, Checked, Manifests, load

GROUPS: dict[str, Callable[[Manifests], Checked]] = {
    "schemas": schemas.check,
    "ray": ray.check,
    "serve config": serve.check,
    "alert rules": alerts.check,
    "references": references.check,
    "ports": ports.check,
    "images": images.check,
    "security": security.check,
}
#: KubeRay's RayService schema; too large and not ours, so it is looked for, never kept here.
SCHEMA = "rayservice-v1.schema.json"
BESIDE = ROOT.parent / "shared" / "schemas" / SCHEMA


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 if every overlay is well, 1 if one is not, 2 if none can be rendered."""
    parser = argparse.ArgumentParser(prog="make k8s-check", description=__doc__)
    parser.add_argument("overlays", nargs="*", metavar="OVERLAY", help="default: all of them")
    parser.add_argument(
        "--folder", type=Path, default=OVERLAYS, help="where overlays are (default k8s/overlays)"
    )
    parser.add_argument(
        "--schema", type=Path, default=os.environ.get("ZTAD_RAYSERVICE_SCHEMA"),
        help="KubeRay's RayService JSON schema; also ZTAD_RAYSERVICE_SCHEMA",
    )  # fmt: skip
    args = parser.parse_args(argv)
    schema = args.schema or (BESIDE if BESIDE.exists() else None)
    try:
        binary = kustomize.install()
    except kustomize.NoKustomize as error:
        print(f"k8s-check: {error}", file=sys.stderr)
        return 2
    mistakes = 0
    for overlay in args.overlays or kustomize.overlays():
        mistakes += check_overlay(binary, args.folder / overlay, schema)
    print(f"{mistakes} mistake{'' if mistakes == 1 else 's'} found")
    return 1 if mistakes else 0


def check_overlay(binary: Path, folder: Path, schema: Path | None) -> int:
    """Print a line per group and one per mistake; how many mistakes there are."""
    try:
        manifests = load(folder, kustomize.render(binary, folder), schema)
    except kustomize.NotRendered as error:
        print(f"{folder.name}: kustomize cannot render it\n  BAD {error}")
        return 1
    print(f"{folder.name}: {len(manifests.objects)} objects, kustomize {kustomize.VERSION}")
    mistakes = 0
    for name, check in GROUPS.items():
        checked = check(manifests)
        mistakes += len(checked.findings)
        bad = len(checked.findings)
        wrong = f": {bad} wrong" if bad else ""
        print(f"  {'BAD ' if bad else 'ok  '} {name:13s} {checked.what}{wrong}")
        for finding in checked.findings:
            print(f"        {finding}")
        for skipped in checked.skipped:
            print(f"        skipped: {skipped}")
    return mistakes


if __name__ == "__main__":
    sys.exit(main())
