"""Schema 1: the first."""

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables in an empty database."""
    op.create_table(
        "workloads",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
        sa.Column("operator", sa.Text, nullable=False),
        sa.Column("shape", sa.Text, nullable=False),
        sa.Column("ir", sa.Text, nullable=False),
    )
    op.create_index("ix_workloads_operator", "workloads", ["operator"])
    op.create_table(
        "devices",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("cpu", sa.Text, nullable=False),
        sa.Column("cores", sa.Integer, nullable=False),
        sa.UniqueConstraint("name", "model", "cpu", "cores"),
    )
    op.create_table(
        "versions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("tvm", sa.Text, nullable=False),
        sa.Column("ffi", sa.Text, nullable=False),
        sa.Column("llvm", sa.Text, nullable=False),
        sa.Column("space", sa.Text, nullable=False),
        sa.UniqueConstraint("tvm", "ffi", "llvm", "space"),
    )
    op.create_table(
        "targets",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("features", sa.Text, nullable=False),
        sa.UniqueConstraint("name", "features"),
    )
    op.create_table(
        "records",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("workload_id", sa.Integer, sa.ForeignKey("workloads.id"), nullable=False),
        sa.Column("device_id", sa.Integer, sa.ForeignKey("devices.id"), nullable=False),
        sa.Column("versions_id", sa.Integer, sa.ForeignKey("versions.id"), nullable=False),
        sa.Column("target_id", sa.Integer, sa.ForeignKey("targets.id"), nullable=False),
        sa.Column("strategy", sa.Text, nullable=False),
        sa.Column("threads", sa.Integer, nullable=False),
        sa.Column("estimated", sa.Boolean, nullable=False),
        sa.Column("seconds", sa.Text, nullable=False),
        sa.Column("median_seconds", sa.Float(53)),
        sa.Column("error", sa.Text),
        sa.Column("checked_by", sa.Text),
        sa.Column("clock_hz", sa.Float(53)),
        sa.Column("temperature_celsius", sa.Float(53)),
        sa.Column("governor", sa.Text),
        sa.Column("throttled", sa.Boolean),
        sa.Column("usable", sa.Boolean, nullable=False),
        sa.Column("tuned_at", sa.BigInteger, nullable=False),
    )
    usable = sa.column("usable", sa.Boolean) == sa.true()
    op.create_index(
        "records_ranked",
        "records",
        ["workload_id", "threads", "estimated", "median_seconds", "id", "target_id", "versions_id"],
        sqlite_where=usable,
        postgresql_where=usable,
    )
    op.create_index("records_in_time", "records", ["tuned_at", "id"])
    op.create_index("records_of_workload", "records", ["workload_id", "tuned_at"])
    op.create_table(
        "traces",
        sa.Column("record_id", sa.String(32), sa.ForeignKey("records.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("trace", sa.Text, nullable=False),
    )
    op.create_table(
        "cost_models",
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("kept_at", sa.BigInteger, nullable=False),
    )
