"""Lines of the audit log, in the order they were put on record."""

from alembic import op

revision = "0003"
down_revision = "0002"
#: What going down takes away for good.
LOSES = "the audit lines on record; those in the file stay"


def upgrade() -> None:
    """Make their table."""
    op.execute("""
        CREATE TABLE audit (
            serial bigint PRIMARY KEY,
            line_id text NOT NULL UNIQUE,
            at double precision NOT NULL,
            document bytea NOT NULL
        )
    """)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE audit")
