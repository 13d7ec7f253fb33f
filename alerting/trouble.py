"""What goes on being wrong: told when it begins and when it ends, not each time it shows."""

from __future__ import annotations

import logging


class Trouble:
    """``what`` cannot be done for now; whoever tries says how it went."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log = log
        self._what = what
        self._times = 0

    def shows(self, error: Exception) -> None:
        """It went wrong; call it while the error is handled."""
        self._times += 1
        if self._times == 1:
            self._log.error("%s (%s); tried again until it works", self._what, error, exc_info=True)

    def over(self) -> None:
        """It went well."""
        if self._times:
            self._log.warning("no more: %s; it was tried %d times", self._what, self._times)
        self._times = 0
