"""Revisions of the alert log's tables in a PostgreSQL."""
