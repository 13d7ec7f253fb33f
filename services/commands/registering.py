"""From a written bundle to a registered version. A registry that fails costs no training."""

from __future__ import annotations

import getpass
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.aliases import Alias
    from models.bundle import Bundle
    from models.registry import Registry
    from services.settings import Settings


#: What can only be a version or an alias, unless there is such a folder.
_NAME = re.compile(r"champion|challenger|shadow|\d{4}-\d\d-\d\d\.\d+")


@dataclass(frozen=True, slots=True)
class Kept:
    """A written bundle, and what it is in the registry: not there, there, or there as an alias."""

    bundle: Bundle
    registered: bool
    alias: Alias | None = None


def registry_of(settings: Settings) -> Registry:
    from models.registry import Registry

    return Registry(settings.home, settings.registry)


def who() -> str:
    """Who changes something, for the history of it."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        name = "unknown"
    return f"{name}@{socket.gethostname()}"


def bundle_path(name: str, registry: Registry) -> Path:
    """The folder that ``name`` is, or that of the version or alias which it names."""
    path = Path(name)
    return path if path.is_dir() else registry.fetch(name)


def local_bundle(given: Path | None) -> Path:
    """``given``, or what the registry has under that name if it is no folder: the champion, where
    nothing is given.

    The registry is asked in a process of its own, so that this one goes on without the 100 MiB of
    MLflow. Raises FileNotFoundError saying why there is none and what to do.
    """
    if given is not None and (given.exists() or not _NAME.fullmatch(str(given))):
        return given
    words = ["models", "fetch", str(given or "champion")]
    command = [sys.executable, "-m", "services.cli", *words]
    fetched = subprocess.run(command, capture_output=True, text=True, check=False)
    if fetched.returncode:
        lines = fetched.stderr.strip().splitlines() or [f"exit code {fetched.returncode}"]
        raise FileNotFoundError(lines[-1].removeprefix("ztad models: "))
    return Path(fetched.stdout.strip())


def write_registered(
    write: Callable[[str], Bundle],
    out: Path,
    registry: Registry,
    alias: Alias | None,
    *,
    parent: str = "",
) -> Kept:
    """Call ``write`` with a version that is free in the registry and register what it wrote.

    ``alias`` is what the version becomes; without one it becomes champion where there is none.
    ``parent`` is the run of the search that chose its settings, if any.
    Where the registry fails, the bundle is written all the same and stderr says why and what to do.
    """
    from models.tracking import RegistryError

    bundle: Bundle | None = None
    try:
        bundle = write(_free_version(out, registry))
        run = registry.tracking.log_training(bundle, parent=parent)
        while not _registers(registry, bundle, run):
            bundle = write(_free_version(out, registry))
        return Kept(bundle, True, name_version(registry, bundle.version, alias))
    except RegistryError as problem:
        bundle = bundle or write(_free_version(out, None))
        warning = f"{problem}; {out} is written but not registered; once that is mended:"
        print(f"ztad train: warning: {warning} ztad models register {out}", file=sys.stderr)
        return Kept(bundle, False)


def name_version(registry: Registry, version: str, alias: Alias | None) -> Alias | None:
    """Give a new version its alias, or that of the champion where there is none; what it is."""
    wanted = alias or (None if "champion" in registry.aliases() else "champion")
    if wanted is not None:
        registry.set_alias(wanted, version, by=who())
    return wanted


def _registers(registry: Registry, bundle: Bundle, run: str) -> bool:
    """False when another training has taken the version since it was looked up."""
    from models.registry import VersionTaken

    try:
        registry.register(bundle, run)
    except VersionTaken:
        return False
    return True


def _free_version(out: Path, registry: Registry | None) -> str:
    from tuning.bundling import next_version

    known = [] if registry is None else [one.version for one in registry.versions()]
    return next_version(out, datetime.now(UTC).date().isoformat(), known)
