"""How a tuning log of an older schema is brought up to date: Alembic's scripts, one a schema version."""
