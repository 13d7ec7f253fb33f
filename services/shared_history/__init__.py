"""One history for many Preprocessors: a log of operations in Redis that each replica repeats.

``operations.py`` says what an operation is, ``redis_log.py`` keeps them in one order,
``replica.py`` is one process's copy of the history, ``keeper.py`` mends and abridges in the
background, and ``history.py`` is all of it as a ``preprocessing.history.UserHistory``.
"""
