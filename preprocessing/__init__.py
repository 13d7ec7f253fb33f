"""An event in, numbers out: decoding, history and features."""

from preprocessing import compiled

_found = compiled.folder()
#: Whether the modules that every event passes through run compiled.
COMPILED = compiled.is_whole(_found)
if COMPILED:
    __path__.insert(0, str(_found))
