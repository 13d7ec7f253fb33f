"""Lines of the audit log, in the order they were put on record."""

from alembic import op

revision = "0004"
down_revision = "0003"
#: What going down takes away for good.
LOSES = "the audit lines on record; those in the file stay"


def upgrade() -> None:
    """Make their table."""
    op.execute("""
        CREATE TABLE audit (
            serial INTEGER PRIMARY KEY,
            line_id TEXT NOT NULL UNIQUE,
            at REAL NOT NULL,
            document BLOB NOT NULL
        )
    """)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE audit")
