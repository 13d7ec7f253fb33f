"""What Alembic runs to write the SQL of a change; see ``chain.py``, which says of what chain."""

from alembic import context

chain = context.config.attributes["chain"]
context.configure(
    dialect_name=chain.dialect,
    version_table=chain.table,
    literal_binds=True,
    dialect_opts={"paramstyle": "named"},
    transactional_ddl=False,  # the transaction is of whoever runs the SQL
)
context.run_migrations()
