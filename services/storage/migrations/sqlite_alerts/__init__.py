"""Revisions of ``alerts.db``."""
