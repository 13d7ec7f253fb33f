"""Events as they came, an encoded ``AuthEvent`` each, under the place of its verdict."""

from alembic import op

revision = "0003"
down_revision = "0002"
#: What going down takes away for good.
LOSES = "every event as it came; verdicts and the evidence of notable ones stay"


def upgrade() -> None:
    """Make their table."""
    op.execute("CREATE TABLE events (place INTEGER PRIMARY KEY, event BLOB NOT NULL)")


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE events")
