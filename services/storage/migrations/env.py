"""What Alembic runs to write the SQL of a change; see ``chain.py``, which sets the dialect."""

from alembic import context

context.configure(
    dialect_name=context.config.attributes["dialect"],
    literal_binds=True,
    dialect_opts={"paramstyle": "named"},
    transactional_ddl=False,  # the transaction is of whoever runs the SQL
)
context.run_migrations()
