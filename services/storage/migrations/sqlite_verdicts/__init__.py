"""Revisions of ``verdicts.db``."""
