"""Where events come from: one source per file, all with the signature of :class:`base.Read`.

>>> from preprocessing.sources import SourceOptions, open_events
>>> options = SourceOptions(now_s=1_800_000_000)
>>> open_events("missing.csv", options=options)
Traceback (most recent call last):
...
preprocessing.sources.base.SourceError: missing.csv: no such file
"""

from preprocessing.sources.base import (
    Item,
    Read,
    Rejected,
    Report,
    SourceError,
    SourceOptions,
    UnknownFormat,
)
from preprocessing.sources.opening import FORMATS, SOURCES, open_events, read_lines

__all__ = [
    "FORMATS",
    "SOURCES",
    "Item",
    "Read",
    "Rejected",
    "Report",
    "SourceError",
    "SourceOptions",
    "UnknownFormat",
    "open_events",
    "read_lines",
]
