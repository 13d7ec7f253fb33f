"""What analysts say of events, in the order they said it."""

from alembic import op

revision = "0002"
down_revision = "0001"
#: What going down takes away for good.
LOSES = "all feedback of analysts"


def upgrade() -> None:
    """Make the tables."""
    op.execute("""
        CREATE TABLE feedback (
            serial INTEGER PRIMARY KEY,
            event_id TEXT NOT NULL,
            user_id TEXT NOT NULL,
            disposition TEXT,
            at REAL NOT NULL,
            by TEXT NOT NULL,
            comment TEXT NOT NULL,
            event BLOB NOT NULL,
            whole INTEGER NOT NULL
        )
    """)
    op.execute("CREATE INDEX feedback_by_event ON feedback (event_id, serial)")
    op.execute("CREATE INDEX feedback_by_user ON feedback (user_id, serial)")


def downgrade() -> None:
    """Drop them."""
    for table in ("feedback",):
        op.execute(f"DROP TABLE {table}")
