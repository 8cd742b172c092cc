"""Alembic's entry: runs over the connection that `ml_backend.store.migrate` opened."""

from alembic import context

from ml_backend.store import actions, models  # noqa: F401 - they define the tables
from ml_backend.store.base import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    # SQLite cannot alter most columns in place.
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
