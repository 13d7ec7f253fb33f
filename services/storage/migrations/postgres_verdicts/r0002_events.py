"""Events as they came, an encoded ``AuthEvent`` each.

Those of ordinary verdicts are in a table of their own, by the day of recording as the verdicts, so
that they can go before them: some hundreds to a line, between two stamps
(``services/storage/postgres/events.py``). What is flagged has its event beside it. ``days.events``
counts those of a day.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
#: What going down takes away for good.
LOSES = "every event as it came; verdicts and the evidence of notable ones stay"


def upgrade() -> None:
    """Make their table, with the days there are, and their columns."""
    op.execute("""
        CREATE TABLE events (
            first_stamp double precision NOT NULL,
            last_stamp double precision NOT NULL,
            day date NOT NULL,
            events bytea NOT NULL
        ) PARTITION BY RANGE (day)
    """)
    # To compress a line takes PostgreSQL longer than to write its verdicts.
    op.execute("ALTER TABLE events ALTER COLUMN events SET STORAGE EXTERNAL")
    op.execute("CREATE INDEX events_by_time ON events (first_stamp, last_stamp)")
    op.execute("ALTER TABLE flagged ADD COLUMN event bytea")
    op.execute("ALTER TABLE days ADD COLUMN events bigint NOT NULL DEFAULT 0")
    op.execute("""
        DO $$ DECLARE each date; BEGIN
            FOR each IN SELECT day FROM days LOOP
                EXECUTE format(
                    'CREATE TABLE %I PARTITION OF events FOR VALUES FROM (%L) TO (%L)',
                    'events_' || to_char(each, 'YYYYMMDD'), each, each + 1
                );
            END LOOP;
        END $$
    """)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE events CASCADE")
    op.execute("ALTER TABLE flagged DROP COLUMN event")
    op.execute("ALTER TABLE days DROP COLUMN events")
