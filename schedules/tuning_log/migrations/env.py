"""What Alembic runs for each migration: the scripts, on the connection and in the transaction of who asked."""

from alembic import context

context.configure(**context.config.attributes)
context.run_migrations()
