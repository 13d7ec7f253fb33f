"""Alerts with their events, silences, and what is to be sent of them.

What is asked for is in columns of its own; the rest of each is JSON in ``body``.
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
            alert_id TEXT PRIMARY KEY,
            subject TEXT NOT NULL,
            severity INTEGER NOT NULL,
            status TEXT NOT NULL,
            opened_s REAL NOT NULL,
            updated_s REAL NOT NULL,
            notify_s REAL,
            body BLOB NOT NULL
        )
    """)
    op.execute("CREATE INDEX alerts_by_subject ON alerts (subject, opened_s)")
    op.execute("CREATE INDEX alerts_by_opening ON alerts (opened_s, alert_id)")
    op.execute("CREATE INDEX alerts_by_update ON alerts (updated_s)")
    op.execute("CREATE INDEX alerts_to_tell ON alerts (notify_s) WHERE notify_s IS NOT NULL")


def _by_what_they_name() -> None:
    op.execute("""
        CREATE TABLE alert_users (
            user_id TEXT NOT NULL, alert_id TEXT NOT NULL, PRIMARY KEY (user_id, alert_id)
        ) WITHOUT ROWID
    """)
    op.execute("CREATE INDEX alert_users_by_alert ON alert_users (alert_id)")
    op.execute("""
        CREATE TABLE alert_addresses (
            address TEXT NOT NULL, alert_id TEXT NOT NULL, PRIMARY KEY (address, alert_id)
        ) WITHOUT ROWID
    """)
    op.execute("CREATE INDEX alert_addresses_by_alert ON alert_addresses (alert_id)")
    op.execute("""
        CREATE TABLE alert_reasons (
            code TEXT NOT NULL, alert_id TEXT NOT NULL, PRIMARY KEY (code, alert_id)
        ) WITHOUT ROWID
    """)
    op.execute("CREATE INDEX alert_reasons_by_alert ON alert_reasons (alert_id)")


def _events() -> None:
    op.execute("""
        CREATE TABLE alert_events (
            event_id TEXT PRIMARY KEY,
            alert_id TEXT NOT NULL,
            place INTEGER NOT NULL,
            at_s REAL NOT NULL,
            body BLOB
        )
    """)
    op.execute("CREATE INDEX alert_events_by_alert ON alert_events (alert_id, place)")


def _told() -> None:
    op.execute("""
        CREATE TABLE news (
            fingerprint TEXT PRIMARY KEY, at_s REAL NOT NULL, severity TEXT NOT NULL
        ) WITHOUT ROWID
    """)
    op.execute("""
        CREATE TABLE silences (
            silence_id TEXT PRIMARY KEY, until_s REAL NOT NULL, body BLOB NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE deliveries (
            delivery_id TEXT PRIMARY KEY,
            channel TEXT NOT NULL,
            kind TEXT NOT NULL,
            state TEXT NOT NULL,
            severity INTEGER NOT NULL,
            attempts INTEGER NOT NULL,
            created_s REAL NOT NULL,
            due_s REAL NOT NULL,
            body BLOB NOT NULL
        )
    """)
    op.execute("CREATE INDEX deliveries_by_state ON deliveries (channel, state, due_s)")
    op.execute("CREATE INDEX deliveries_by_creation ON deliveries (channel, created_s)")
    op.execute("""
        CREATE TABLE delivery_alerts (
            alert_id TEXT NOT NULL, delivery_id TEXT NOT NULL, PRIMARY KEY (alert_id, delivery_id)
        ) WITHOUT ROWID
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
