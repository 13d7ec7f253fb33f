"""Serving processes without what they never use.

Wherever they are installed, Ray Serve imports pandas and Ray itself pyarrow, for conversions that
nothing of ours needs: a second of start and 90 MiB in every process.
"""

from __future__ import annotations

import gc
import sys
from typing import Any, cast

from services import logs, loopback

#: What every worker of Ray runs first.
HOOK = "services.lean.in_worker"
#: Containers made before the collector looks at the young, and how seldom at the old. A batch of a
#: thousand events makes some ten thousand, none of them in cycles, and a history holds millions,
#: which the collector would walk through again and again.
COLLECT_AFTER = (200_000, 20, 100)


def in_worker() -> None:
    """Import Serve without pandas, keep pyarrow out for good, and calls on this machine; collect
    garbage seldom; log as ``ztad serve`` does."""
    gc.set_threshold(*COLLECT_AFTER)
    _modules()["pyarrow"] = None
    import_serve()
    logs.in_replica()
    loopback.keep_calls_local()


def import_serve() -> None:
    """Import Serve as if pandas was not installed; afterwards it can be imported as ever."""
    if "pandas" in sys.modules:
        return
    modules = _modules()
    modules["pandas"] = None
    try:
        import ray.serve  # noqa: F401
    finally:
        del modules["pandas"]


def _modules() -> dict[str, Any]:
    """``sys.modules``, in which None means: as good as not installed."""
    return cast(dict[str, Any], sys.modules)
