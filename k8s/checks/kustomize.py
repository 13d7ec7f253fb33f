"""kustomize of a known version, built with the machine's Go into a folder that git ignores."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from k8s.checks.manifests import OVERLAYS, ROOT

#: The newest that Go 1.26 builds.
VERSION = "v5.8.2"
MODULE = "sigs.k8s.io/kustomize/kustomize/v5"
FOLDER = ROOT / ".tools" / f"kustomize-{VERSION}"
BUILD_WITHIN_S = 900
RENDER_WITHIN_S = 60


class NoKustomize(RuntimeError):
    """kustomize cannot be had here; the message says why and what to do."""


class NotRendered(RuntimeError):
    """kustomize refuses an overlay; the message is its own."""


def installed() -> Path | None:
    """The binary, if it was built before."""
    path = FOLDER / "kustomize"
    return path if path.exists() else None


def install() -> Path:
    """The binary, built if need be (a minute); raises :class:`NoKustomize`."""
    found = installed()
    if found is not None:
        return found
    go = shutil.which("go")
    if go is None:
        raise NoKustomize(f"kustomize {VERSION} is built with Go, and there is no 'go': install Go")
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [go, "install", "-trimpath", "-ldflags=-s -w", f"{MODULE}@{VERSION}"]
    environment = os.environ | {"GOBIN": str(FOLDER)}
    try:
        subprocess.run(
            command, env=environment, check=True, timeout=BUILD_WITHIN_S, text=True,
            stderr=subprocess.PIPE,
        )  # fmt: skip
    except (subprocess.SubprocessError, OSError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise NoKustomize(f"'{' '.join(command)}' failed: {said[-1] if said else error}") from None
    return FOLDER / "kustomize"


def overlays() -> list[str]:
    """Names of the overlays of this project."""
    return sorted(path.parent.name for path in OVERLAYS.glob("*/kustomization.yaml"))


def render(binary: Path, folder: Path) -> str:
    """The YAML of a kustomization; raises :class:`NotRendered`."""
    done = subprocess.run(
        [binary, "build", folder], capture_output=True, text=True, check=False,
        timeout=RENDER_WITHIN_S,
    )  # fmt: skip
    if done.returncode != 0:
        raise NotRendered(done.stderr.strip())
    return done.stdout
