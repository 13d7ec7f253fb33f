"""Revisions of every database, each a small file of plain SQL that Alembic puts in order.

``sqlite_verdicts`` and ``sqlite_alerts`` are the two files of a store folder; their names sort in
the order of the revisions. Alembic is loaded only by a process that changes a schema.
"""
