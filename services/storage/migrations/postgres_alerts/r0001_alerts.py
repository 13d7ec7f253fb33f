"""Alerts with their events, silences, and what is to be sent of them.

As in SQLite: what is asked for is in columns of its own, the rest of each is ``body``, as ``json``
and not ``jsonb``, which refuses the character U+0000. Ids are compared by their bytes, as the
cursors of pages are.
"""

from alembic import op

revision = "0001"
down_revision = None
#: What going down takes away for good.
LOSES = "every alert, silence and message"


def upgrade() -> None:
    """Make the tables."""
    _alerts()
    _by_what_they_name()
    _events()
    _told()


def _alerts() -> None:
    op.execute("""
        CREATE TABLE alerts (
            alert_id text COLLATE "C" PRIMARY KEY,
            subject text COLLATE "C" NOT NULL,
            severity smallint NOT NULL,
            status text NOT NULL,
            opened_s double precision NOT NULL,
            updated_s double precision NOT NULL,
            notify_s double precision,
            body json NOT NULL
        )
    """)
    op.execute("CREATE INDEX alerts_by_subject ON alerts (subject, opened_s)")
    op.execute("CREATE INDEX alerts_by_opening ON alerts (opened_s, alert_id)")
    op.execute("CREATE INDEX alerts_by_update ON alerts (updated_s)")
    op.execute("CREATE INDEX alerts_to_tell ON alerts (notify_s) WHERE notify_s IS NOT NULL")


def _by_what_they_name() -> None:
    for table, column in (
        ("alert_users", "user_id"),
        ("alert_addresses", "address"),
        ("alert_reasons", "code"),
    ):
        op.execute(f"""
            CREATE TABLE {table} (
                {column} text COLLATE "C" NOT NULL,
                alert_id text COLLATE "C" NOT NULL,
                PRIMARY KEY ({column}, alert_id)
            )
        """)
        op.execute(f"CREATE INDEX {table}_by_alert ON {table} (alert_id)")


def _events() -> None:
    op.execute("""
        CREATE TABLE alert_events (
            event_id text COLLATE "C" PRIMARY KEY,
            alert_id text COLLATE "C" NOT NULL,
            place integer NOT NULL,
            at_s double precision NOT NULL,
            body json
        )
    """)
    op.execute("CREATE INDEX alert_events_by_alert ON alert_events (alert_id, place)")


def _told() -> None:
    op.execute("""
        CREATE TABLE news (
            fingerprint text COLLATE "C" PRIMARY KEY,
            at_s double precision NOT NULL,
            severity text NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE silences (
            silence_id text COLLATE "C" PRIMARY KEY,
            until_s double precision NOT NULL,
            body json NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE deliveries (
            delivery_id text COLLATE "C" PRIMARY KEY,
            channel text NOT NULL,
            kind text NOT NULL,
            state text NOT NULL,
            severity smallint NOT NULL,
            attempts integer NOT NULL,
            created_s double precision NOT NULL,
            due_s double precision NOT NULL,
            body json NOT NULL
        )
    """)
    op.execute("CREATE INDEX deliveries_by_state ON deliveries (channel, state, due_s)")
    op.execute("CREATE INDEX deliveries_by_creation ON deliveries (channel, created_s)")
    op.execute("""
        CREATE TABLE delivery_alerts (
            alert_id text COLLATE "C" NOT NULL,
            delivery_id text COLLATE "C" NOT NULL,
            PRIMARY KEY (alert_id, delivery_id)
        )
    """)
    op.execute("CREATE INDEX delivery_alerts_by_delivery ON delivery_alerts (delivery_id)")


def downgrade() -> None:
    """Drop them."""
    for table in (
        "alerts",
        "alert_users",
        "alert_addresses",
        "alert_reasons",
        "alert_events",
        "news",
        "silences",
        "deliveries",
        "delivery_alerts",
    ):
        op.execute(f"DROP TABLE {table}")
