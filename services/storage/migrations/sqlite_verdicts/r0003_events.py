"""Events as they came.

``flagged_events`` has an encoded ``AuthEvent`` under the place of each verdict over the threshold.
Those of other verdicts are in ``events``, many in one compressed block (``storage/events.py``)
with the first and the last of their places.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
#: What going down takes away for good.
LOSES = "every event as it came; verdicts and the evidence of notable ones stay"


def upgrade() -> None:
    """Make their tables."""
    op.execute("""
        CREATE TABLE events (
            place INTEGER PRIMARY KEY,
            first INTEGER NOT NULL,
            recorded INTEGER NOT NULL,
            block BLOB NOT NULL
        )
    """)
    op.execute("CREATE TABLE flagged_events (place INTEGER PRIMARY KEY, event BLOB NOT NULL)")


def downgrade() -> None:
    """Drop them."""
    for table in ("events", "flagged_events"):
        op.execute(f"DROP TABLE {table}")
