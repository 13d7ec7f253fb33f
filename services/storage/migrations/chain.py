"""``Chain``: the revisions of one kind of database, and the SQL that leads from one to another.

Alembic writes that SQL and never speaks to a database itself: whoever asks runs it on a connection
of its own, in one transaction, so that a change of schema is made as a whole or not at all. A
revision is therefore plain SQL and cannot read what is stored.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal

from services.storage.errors import NewerSchema, UnknownRevision

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import Script

HERE = Path(__file__).parent
#: A database without any table of ours.
BASE = "base"
#: Alembic hands what it is about to the files it runs in variables of a module.
_ALEMBIC = Lock()


@dataclass(frozen=True, slots=True)
class Revision:
    """One step. ``loses`` says what is gone for good when it is taken back, empty if nothing."""

    name: str
    summary: str
    loses: str


@dataclass(frozen=True, slots=True)
class Chain:
    """Revisions in ``folder``, one file ``r<four digits>_<what>.py`` each, in SQL of ``dialect``.
    Several chains can lead the tables of one database, each with a ``table`` of its own.

    Without a branch: each revision follows the one of the number before it.
    """

    folder: Path
    dialect: Literal["sqlite", "postgresql"]
    table: str = "alembic_version"
    """Where a database says which revision it is at."""

    @property
    def names(self) -> tuple[str, ...]:
        """What databases can be at, oldest first; known without loading Alembic."""
        found = sorted(file.stem[1:5] for file in self.folder.glob("r[0-9]*.py"))
        return (BASE, *found)

    @property
    def head(self) -> str:
        """The newest revision."""
        return self.names[-1]

    def check(self, found: str, where: str) -> str:
        """The revision a database was found at; raises :class:`NewerSchema` if it is none."""
        if found not in self.names:
            raise NewerSchema(where, found, self.head)
        return found

    def wanted(self, name: str) -> str:
        """A revision as somebody names it, with or without zeros in front, or ``head``.

        Raises :class:`UnknownRevision`.
        """
        full = self.head if name == "head" else name.zfill(len(BASE))
        if full not in self.names:
            raise UnknownRevision(name, self.names)
        return full

    def between(self, low: str, high: str) -> list[Revision]:
        """The steps from one revision up to another, oldest first."""
        after = self.names[self.names.index(low) + 1 : self.names.index(high) + 1]
        return [step for step in _history(self) if step.name in after]

    def script(self, begin: str, end: str) -> str:
        """SQL that takes a database from one revision to another, the version table included."""
        return _script(self, begin, end)


VERDICTS = Chain(HERE / "sqlite_verdicts", "sqlite")
ALERTS = Chain(HERE / "sqlite_alerts", "sqlite")
POSTGRES_VERDICTS = Chain(HERE / "postgres_verdicts", "postgresql", "alembic_version_verdicts")
POSTGRES_ALERTS = Chain(HERE / "postgres_alerts", "postgresql", "alembic_version_alerts")


@cache
def _script(chain: Chain, begin: str, end: str) -> str:
    """Remembered: stores in memory begin with the same tables again and again."""
    from alembic import command

    # It tells of every step it writes down, not of what is done.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    written = io.StringIO()
    config = _config(chain, written)
    forward = chain.names.index(begin) < chain.names.index(end)
    move = command.upgrade if forward else command.downgrade
    if begin != end:
        with _ALEMBIC:
            move(config, f"{begin}:{end}", sql=True)
    script = written.getvalue()
    return f"{script}DROP TABLE IF EXISTS {chain.table};\n" if end == BASE else script


def _history(chain: Chain) -> list[Revision]:
    return [
        Revision(step.revision, step.doc, getattr(step.module, "LOSES", ""))
        for step in reversed(list(_steps(chain)))
    ]


def _steps(chain: Chain) -> Iterator[Script]:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config(chain, io.StringIO())).walk_revisions()


def _config(chain: Chain, written: io.StringIO) -> Config:
    from alembic.config import Config

    config = Config(output_buffer=written, attributes={"chain": chain})
    # A percent sign is the beginning of a reference in configuration files.
    for name, folder in (("script_location", HERE), ("version_locations", chain.folder)):
        config.set_main_option(name, str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return config
