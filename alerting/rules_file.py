"""The rules file, watched: a change takes effect while alerts flow, a broken change does not."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from alerting.rules import MOST_BYTES, Rules, load
from alerting.strict import RulesError

LOG = logging.getLogger("ztad.alerting")


class RulesFile:
    """Reads a file of rules, and again whenever it has changed.

    ``rules`` are the last good ones; until there are any, the empty rules: alerts are kept and
    shown and sent nowhere, and find their channels once the file is mended. ``problem`` says what
    is wrong with the file now, empty if nothing is.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rules = Rules()
        self.problem = ""
        self._mark: tuple[int, int, int] | None = None
        self._digest = b""
        self.poll()

    def poll(self) -> bool:
        """Look at the file; True if ``rules`` are others now. Cheap while nothing changes."""
        if self.path is None:
            return False
        try:
            stat = self.path.stat()
            mark = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if mark == self._mark:
                return False
            with self.path.open("rb") as file:
                text = file.read(MOST_BYTES + 1)
        except OSError as error:
            self._mark = None
            self._report(f"cannot be read: {error.strerror}")
            return False
        self._mark = mark
        digest = hashlib.sha256(text).digest()
        if digest == self._digest:
            return False
        self._digest = digest
        return self._take(text)

    def _take(self, text: bytes) -> bool:
        try:
            rules = load(text)
        except RulesError as error:
            self._report(str(error))
            return False
        self.problem = ""
        changed = rules != self.rules
        self.rules = rules
        if changed:
            LOG.info("alert rules %s: in effect", self.path)
        return changed

    def _report(self, problem: str) -> None:
        if problem != self.problem:
            LOG.error("alert rules %s: %s; the rules before stay in effect", self.path, problem)
        self.problem = problem
