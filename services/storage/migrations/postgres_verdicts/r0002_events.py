"""Events as they came: an encoded ``AuthEvent`` beside its verdict."""

from alembic import op

revision = "0002"
down_revision = "0001"
#: What going down takes away for good.
LOSES = "every event as it came; verdicts and the evidence of notable ones stay"


def upgrade() -> None:
    """Make their columns."""
    for table in ("verdicts", "flagged"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN event bytea")


def downgrade() -> None:
    """Drop them."""
    for table in ("verdicts", "flagged"):
        op.execute(f"ALTER TABLE {table} DROP COLUMN event")
