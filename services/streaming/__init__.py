"""Events from topics, verdicts to topics: ``worker.py`` is the loop, ``base.py`` what it needs."""
