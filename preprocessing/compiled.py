"""Which modules of this package are compiled, and where what was compiled of them is.

They are ordinary modules, and without a compiler they run as such, about half as fast. Compiled
modules are used only if they were made of exactly the sources that are here: whoever changes a line
runs what the line says.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

#: What every event passes through, and plain data that it touches.
MODULES = (
    "accumulated", "activity", "baseline", "crowd", "embedded", "geo", "habits", "known",
    "learning", "lookup", "memory", "numbers", "opened", "packing", "seen", "sighting", "state",
    "trail", "typical", "unlearning", "unproven", "values",
)  # fmt: skip
SOURCES = Path(__file__).parent
FOLDER = SOURCES / "_compiled"


def folder() -> Path:
    """Where modules compiled from these sources, for this interpreter, are or would be."""
    found = hashlib.sha256(f"{sys.version} {platform.machine()}".encode())
    # All of them: constants of one module become part of another.
    for source in sorted(SOURCES.glob("*.py")):
        found.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return FOLDER / found.hexdigest()[:16]


def is_whole(where: Path) -> bool:
    """Whether every module is there."""
    return all((where / f"{name}{EXTENSION_SUFFIXES[0]}").is_file() for name in MODULES)
