"""The tables of the verdict store.

``place`` grows in the order of recording and is never used again: the cursor of the stream.
``severity`` is the rank of the verdict's severity, 0 for what is not flagged. ``frame`` and
``document`` are those of ``packing.Packed``. ``stamp`` is when the event happened, ``recorded``
when its verdict was, both in seconds since the epoch.

``verdicts`` has every event once, by the day of recording: a day is made ahead and dropped whole.
Of what is flagged only the id and what is counted is there (``document`` is null): the verdict
itself is in ``flagged``, which is small and outlives the days. ``days`` knows between which stamps
the events of a day lie, so that an id is looked for in those days alone in which it can be.
"""

from alembic import op

revision = "0001"
down_revision = None
#: What going down takes away for good.
LOSES = "every verdict, all feedback and who decided what"
#: What depends on another comes first.
TABLES = (
    "verdicts",
    "days",
    "marks",
    "flagged",
    "shadow",
    "frames",
    "bundles",
    "routings",
    "feedback",
)


def upgrade() -> None:
    """Make the tables."""
    _days()
    _flagged_and_shadow()
    _said()


def downgrade() -> None:
    """Drop them, with every day and what is made of them."""
    for table in TABLES:
        op.execute(f"DROP TABLE {table} CASCADE")


def _days() -> None:
    op.execute("""
        CREATE TABLE verdicts (
            place bigint NOT NULL,
            stamp double precision NOT NULL,
            recorded double precision NOT NULL,
            day date NOT NULL,
            frame integer NOT NULL,
            severity smallint NOT NULL,
            event_id text COLLATE "C" NOT NULL,
            user_id text COLLATE "C" NOT NULL,
            address text COLLATE "C" NOT NULL,
            reason text,
            document bytea,
            features bytea,
            baseline bytea
        ) PARTITION BY RANGE (day)
    """)
    op.execute("CREATE UNIQUE INDEX verdicts_by_id ON verdicts (event_id, day)")
    op.execute("CREATE INDEX verdicts_by_time ON verdicts (stamp)")
    op.execute("CREATE INDEX verdicts_by_user ON verdicts (user_id, stamp)")
    op.execute("CREATE INDEX verdicts_by_address ON verdicts (address, stamp)")
    op.execute("""
        CREATE VIEW verdicts_by_hour AS
            SELECT day, floor(stamp / 3600) * 3600 AS hour, severity, reason, count(*) AS events
            FROM verdicts GROUP BY 1, 2, 3, 4
    """)
    op.execute("CREATE TABLE marks (name text PRIMARY KEY, value double precision NOT NULL)")
    op.execute("""
        INSERT INTO marks VALUES
            ('place', 0), ('offered', 0), ('flagged', 0), ('shadow', 0), ('dropped', '-infinity')
    """)
    op.execute("""
        CREATE TABLE days (
            day date PRIMARY KEY,
            ordinary bigint NOT NULL,
            first_stamp double precision NOT NULL,
            last_stamp double precision NOT NULL,
            first_recorded double precision NOT NULL
        )
    """)


def _flagged_and_shadow() -> None:
    op.execute("""
        CREATE TABLE bundles (
            bundle integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            version text NOT NULL,
            manifest text NOT NULL,
            path text NOT NULL,
            UNIQUE (version, manifest)
        )
    """)
    op.execute("""
        CREATE TABLE frames (
            frame integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            document bytea NOT NULL,
            bundle integer NOT NULL REFERENCES bundles,
            UNIQUE (document, bundle)
        )
    """)
    op.execute("""
        CREATE TABLE flagged (
            place bigint PRIMARY KEY,
            stamp double precision NOT NULL,
            recorded double precision NOT NULL,
            frame integer NOT NULL,
            severity smallint NOT NULL,
            event_id text COLLATE "C" NOT NULL UNIQUE,
            user_id text COLLATE "C" NOT NULL,
            address text COLLATE "C" NOT NULL,
            reason text,
            document bytea NOT NULL,
            features bytea NOT NULL,
            baseline bytea,
            traceparent text
        )
    """)
    op.execute("CREATE INDEX flagged_by_time ON flagged (stamp)")
    op.execute("CREATE INDEX flagged_by_user ON flagged (user_id, stamp)")
    op.execute("CREATE INDEX flagged_by_address ON flagged (address, stamp)")
    op.execute("""
        CREATE TABLE shadow (
            place bigint PRIMARY KEY,
            stamp double precision NOT NULL,
            recorded double precision NOT NULL,
            bundle integer NOT NULL REFERENCES bundles,
            severity smallint NOT NULL,
            event_id text COLLATE "C" NOT NULL,
            reason text,
            UNIQUE (event_id, bundle)
        )
    """)
    op.execute("CREATE INDEX shadow_by_time ON shadow (bundle, stamp)")


def _said() -> None:
    op.execute("""
        CREATE TABLE routings (
            revision bigint PRIMARY KEY,
            at double precision NOT NULL,
            by text NOT NULL,
            note text NOT NULL,
            document bytea NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE feedback (
            serial bigint PRIMARY KEY,
            event_id text COLLATE "C" NOT NULL,
            user_id text COLLATE "C" NOT NULL,
            disposition text,
            at double precision NOT NULL,
            by text NOT NULL,
            comment bytea NOT NULL,
            event bytea NOT NULL,
            whole boolean NOT NULL
        )
    """)
    op.execute("CREATE INDEX feedback_by_event ON feedback (event_id, serial)")
    op.execute("CREATE INDEX feedback_by_user ON feedback (user_id, serial)")
