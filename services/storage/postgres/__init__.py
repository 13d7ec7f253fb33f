"""The verdict store in PostgreSQL. The only place that knows asyncpg."""
