"""Revisions of the verdict store's tables in a PostgreSQL."""
