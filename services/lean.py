"""Serving processes without what they never use.

Ray Serve imports pandas wherever it is installed, for a conversion that nothing of ours needs: a
second of start and 60 MiB in every process.
"""

from __future__ import annotations

import sys
from typing import Any, cast

#: Where Ray looks for what every worker runs first.
HOOK = "services.lean.import_serve"


def import_serve() -> None:
    """Import Serve as if pandas was not installed; afterwards it can be imported as ever."""
    if "pandas" in sys.modules:
        return
    modules = cast(dict[str, Any], sys.modules)
    modules["pandas"] = None
    try:
        import ray.serve  # noqa: F401
    finally:
        del modules["pandas"]
