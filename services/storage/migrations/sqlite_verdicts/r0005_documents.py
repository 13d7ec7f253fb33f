"""Ordinary verdicts in blocks.

A verdict that is not flagged has an empty ``document``; as it came it is in ``documents``, many in
one compressed block (``storage/blocks.py``) with the first and the last of their places. Blocks,
those of ``events`` too, are compressed by zstd from here on.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
#: What going down takes away for good.
LOSES = "ordinary verdicts recorded since, and their events"


def upgrade() -> None:
    """Make their table."""
    op.execute("""
        CREATE TABLE documents (
            place INTEGER PRIMARY KEY,
            first INTEGER NOT NULL,
            block BLOB NOT NULL
        )
    """)


def downgrade() -> None:
    """Drop it, and what only its verdicts and zstd can tell."""
    op.execute("DROP TABLE documents")
    op.execute(
        "DELETE FROM evidence WHERE place IN (SELECT place FROM verdicts WHERE document = x'')"
    )
    op.execute("DELETE FROM verdicts WHERE document = x''")
    op.execute("DELETE FROM events WHERE substr(block, 1, 1) <> x'78'")
    op.execute("""
        UPDATE marks SET value = (SELECT count(*) FROM verdicts WHERE severity = 0)
        WHERE name = 'ordinary'
    """)
