"""Verdicts with their evidence, what shadow versions said, and every routing.

``place`` grows in the order of recording and is never used again: the cursor of the stream.
``severity`` is the rank of the verdict's severity, 0 for what is not flagged. ``frame`` and
``document`` are those of ``packing.Packed``. ``stamp`` is when the event happened.

Users and addresses are indexed in drawers of 65,536 places: what is written or removed then
touches the few pages of one drawer, not pages all over an index as large as the store.
"""

from alembic import op

revision = "0001"
down_revision = None
#: What going down takes away for good.
LOSES = "every verdict, its evidence, every routing"


def upgrade() -> None:
    """Make the tables."""
    _versions()
    _verdicts()
    _beside()


def _versions() -> None:
    op.execute("""
        CREATE TABLE marks (
            name TEXT PRIMARY KEY,
            value INTEGER NOT NULL
        ) WITHOUT ROWID
    """)
    op.execute("""
        INSERT INTO marks VALUES
            ('place', 0), ('offered', 0), ('ordinary', 0), ('flagged', 0), ('shadow', 0)
    """)
    op.execute("""
        CREATE TABLE bundles (
            bundle INTEGER PRIMARY KEY,
            version TEXT NOT NULL,
            manifest TEXT NOT NULL,
            path TEXT NOT NULL,
            UNIQUE (version, manifest)
        )
    """)
    op.execute("""
        CREATE TABLE frames (
            frame INTEGER PRIMARY KEY,
            document BLOB NOT NULL,
            bundle INTEGER NOT NULL REFERENCES bundles,
            UNIQUE (document, bundle)
        )
    """)


def _verdicts() -> None:
    op.execute("""
        CREATE TABLE verdicts (
            place INTEGER PRIMARY KEY,
            event_id TEXT NOT NULL UNIQUE,
            stamp REAL NOT NULL,
            recorded INTEGER NOT NULL,
            user_id TEXT NOT NULL,
            address TEXT NOT NULL,
            frame INTEGER NOT NULL REFERENCES frames,
            severity INTEGER NOT NULL,
            reason TEXT,
            document BLOB NOT NULL
        )
    """)
    op.execute("CREATE INDEX verdicts_by_time ON verdicts (stamp)")
    op.execute("CREATE INDEX verdicts_by_user ON verdicts (place >> 16, user_id, stamp)")
    op.execute("""
        CREATE INDEX verdicts_by_address ON verdicts (place >> 16, address, stamp)
            WHERE address <> ''
    """)
    op.execute("CREATE INDEX flagged_by_time ON verdicts (stamp) WHERE severity > 0")
    op.execute("CREATE INDEX flagged_by_place ON verdicts (place) WHERE severity > 0")


def _beside() -> None:
    op.execute("""
        CREATE TABLE evidence (
            place INTEGER PRIMARY KEY,
            columns INTEGER NOT NULL,
            features BLOB NOT NULL,
            baseline BLOB,
            traceparent TEXT
        )
    """)
    op.execute("""
        CREATE TABLE shadow (
            place INTEGER PRIMARY KEY,
            event_id TEXT NOT NULL,
            bundle INTEGER NOT NULL REFERENCES bundles,
            stamp REAL NOT NULL,
            recorded INTEGER NOT NULL,
            severity INTEGER NOT NULL,
            reason TEXT,
            UNIQUE (event_id, bundle)
        )
    """)
    op.execute("CREATE INDEX shadow_by_time ON shadow (bundle, stamp)")
    op.execute("""
        CREATE TABLE routings (
            revision INTEGER PRIMARY KEY,
            at REAL NOT NULL,
            by TEXT NOT NULL,
            note TEXT NOT NULL,
            document BLOB NOT NULL
        )
    """)


def downgrade() -> None:
    """Drop them."""
    for table in ("verdicts", "evidence", "shadow", "routings", "frames", "bundles", "marks"):
        op.execute(f"DROP TABLE {table}")
