"""The tables of a tuning log, as this release knows them. ``migrations`` makes them, and brings older ones here."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    true,
)

SCHEMA = 1
"""The version of these tables; the name of the newest script in ``migrations/versions``."""

VERSION_TABLE = "tuning_log_version"
"""Alembic's; a database that has it is a tuning log."""

metadata = MetaData()

workloads = Table(
    "workloads",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("hash", String(64), nullable=False, unique=True),
    Column("operator", Text, nullable=False, index=True),
    Column("shape", Text, nullable=False),
    Column("ir", Text, nullable=False),
)

devices = Table(
    "devices",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("cpu", Text, nullable=False),
    Column("cores", Integer, nullable=False),
    UniqueConstraint("name", "model", "cpu", "cores"),
)

versions = Table(
    "versions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("tvm", Text, nullable=False),
    Column("ffi", Text, nullable=False),
    Column("llvm", Text, nullable=False),
    Column("space", Text, nullable=False),
    UniqueConstraint("tvm", "ffi", "llvm", "space"),
)

targets = Table(
    "targets",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("features", Text, nullable=False),  # sorted, separated by spaces
    UniqueConstraint("name", "features"),
)

records = Table(
    "records",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("workload_id", ForeignKey("workloads.id"), nullable=False),
    Column("device_id", ForeignKey("devices.id"), nullable=False),
    Column("versions_id", ForeignKey("versions.id"), nullable=False),
    Column("target_id", ForeignKey("targets.id"), nullable=False),
    Column("strategy", Text, nullable=False),
    Column("threads", Integer, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("seconds", Text, nullable=False),  # a JSON list: every sample, to the last bit
    Column("median_seconds", Float(53)),
    Column("error", Text),
    Column("checked_by", Text),
    Column("clock_hz", Float(53)),
    Column("temperature_celsius", Float(53)),
    Column("governor", Text),
    Column("throttled", Boolean),
    Column("usable", Boolean, nullable=False),
    Column("tuned_at", BigInteger, nullable=False),  # microseconds since 1970, UTC
)

# Ranked look-ups walk it from its beginning: they end at the first entry whose target and versions suit.
Index(
    "records_ranked",
    records.c.workload_id,
    records.c.threads,
    records.c.estimated,
    records.c.median_seconds,
    records.c.id,
    records.c.target_id,
    records.c.versions_id,
    sqlite_where=records.c.usable == true(),
    postgresql_where=records.c.usable == true(),
)
Index("records_in_time", records.c.tuned_at, records.c.id)
Index("records_of_workload", records.c.workload_id, records.c.tuned_at)

# Apart from the records: what is counted and ranked stays small, a trace has kilobytes.
traces = Table(
    "traces",
    metadata,
    Column("record_id", ForeignKey("records.id", ondelete="CASCADE"), primary_key=True),
    Column("trace", Text, nullable=False),
)

cost_models = Table(
    "cost_models",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("kept_at", BigInteger, nullable=False),
)
