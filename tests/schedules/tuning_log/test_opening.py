"""Opening a log: what is made, what is brought up to date, what is refused, and with which words."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from intbert.errors import TuningLogError
from intbert.schedules.tuning_log import open_log, opening, schema
from intbert.schedules.tuning_log.address import FileAddress, ServerAddress, parse, without_password
from intbert.schedules.tuning_log.log import TuningLog
from intbert.schedules.tuning_log.postgresql import PostgresqlStore
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from .samples import TVM, record, workload
from .server import PASSWORD, Server

NEXT_SCHEMA = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "2", "1", None, None

def upgrade():
    op.add_column("records", sa.Column("watts", sa.Float(53)))
"""


def refusal(url: str | Path, **options: object) -> str:
    """The one line with which opening the log is refused."""
    with pytest.raises(TuningLogError) as caught:
        open_log(url, **options).close()  # pyright: ignore[reportArgumentType]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_migrations_make_the_tables_of_the_schema(log: TuningLog) -> None:
    with log._store.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
        assert compare_metadata(context, schema.metadata) == []
        assert str(connection.scalar(text(f"SELECT version_num FROM {schema.VERSION_TABLE}"))) == str(schema.SCHEMA)


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """What makes this release one with a schema more."""

    def upgrade() -> None:
        folder = tmp_path / "migrations 100%"
        shutil.copytree(opening.MIGRATIONS, folder)
        (folder / "versions" / "schema_2.py").write_text(NEXT_SCHEMA)
        monkeypatch.setattr(opening, "MIGRATIONS", folder)
        monkeypatch.setattr(schema, "SCHEMA", 2)

    return upgrade


def test_an_older_schema_is_brought_up_to_date(url: str, newer: Callable[[], None]) -> None:
    kept = [record(at=at) for at in range(3)]
    with open_log(url) as log:
        log.add_many(kept)
    newer()
    assert "is a tuning log of schema 1, this intbert reads 2; run `intbert logs upgrade`" in refusal(
        url, read_only=True
    )
    with open_log(url) as log:
        assert list(log.records()) == kept
        with log._store.reading() as connection:
            assert connection.execute(text("SELECT watts FROM records")).all() == [(None,)] * 3
    with open_log(url, read_only=True) as log:
        assert log.count() == 3
    if "://" not in url:
        with closing(sqlite3.connect(f"{url}.schema-1")) as copy:
            assert copy.execute("SELECT version_num FROM tuning_log_version").fetchone() == ("1",)
            assert copy.execute("SELECT count(*) FROM traces").fetchone() == (3,)


def test_a_newer_schema_is_refused(url: str, newer: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    newer()
    open_log(url).close()
    monkeypatch.setattr(schema, "SCHEMA", 1)
    for read_only in (False, True):
        line = refusal(url, read_only=read_only)
        assert "is a tuning log of schema 2, this intbert knows them up to 1; upgrade intbert" in line


def test_a_migration_that_fails_changes_nothing(url: str, newer: Callable[[], None]) -> None:
    with open_log(url) as log:
        log.add(record())
    newer()
    script = opening.MIGRATIONS / "versions" / "schema_2.py"
    script.write_text(NEXT_SCHEMA + '    op.execute("SELECT nonsense FROM nowhere")\n')
    refusal(url)
    script.write_text(NEXT_SCHEMA)
    with open_log(url) as log:
        assert log.count() == 1


def test_a_version_that_is_no_number(url: str) -> None:
    with open_log(url) as log, log._store.writing() as connection:
        connection.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = 'abc'"))
    assert "does not say of which schema it is; restore a copy" in refusal(url)


@pytest.mark.parametrize("read_only", [False, True], ids=["writing", "reading"])
def test_a_database_of_something_else(url: str, read_only: bool) -> None:
    with open_log(url) as log, log._store.writing() as connection:
        connection.execute(text(f"DROP TABLE {schema.VERSION_TABLE}"))
    assert "is a database, but no tuning log; give another, or an empty one" in refusal(url, read_only=read_only)


def test_reading_makes_nothing(new_url: Callable[[], str], tmp_path: Path) -> None:
    url = new_url()
    line = refusal(url, read_only=True)
    assert "there is no tuning log" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("read_only", [False, True], ids=["writing", "reading"])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"no database at all\n" * 100, id="text"),
        pytest.param(b"SQLite format 3\0" + b"\1" * 1000, id="damaged"),
        pytest.param(bytes(range(200, 264 - 8)), id="bytes"),
    ],
)
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes, read_only: bool) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    assert refusal(path, read_only=read_only).startswith(str(path))
    assert path.read_bytes() == content


def test_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with open_log(path) as log:
        log.add_many(record(at=at) for at in range(500))
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(TuningLogError, match="is damaged; restore a copy"), open_log(path) as log:
        list(log.records())


def test_an_empty_file_becomes_a_log(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.touch()
    assert "is empty: there is no tuning log in it" in refusal(path, read_only=True)
    with open_log(path) as log:
        assert log.count() == 0


def test_a_folder(tmp_path: Path) -> None:
    assert "is a folder; give the path of a file" in refusal(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be made (File exists)" in refusal(tmp_path / "file" / "log.db")


def test_the_folder_is_made(tmp_path: Path) -> None:
    open_log(f"sqlite:///{tmp_path}/a/b/log%20x.db").close()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["log x.db"]


def test_a_locked_file(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with open_log(path, wait=0.1) as log, closing(sqlite3.connect(path, isolation_level=None)) as other:
        log.add(record())
        other.execute("BEGIN IMMEDIATE")
        for attempt in (lambda: log.add(record()), lambda: open_log(path, wait=0.1)):
            with pytest.raises(TuningLogError, match="another process has kept it locked; wait until that has ended"):
                attempt()
        with open_log(path, read_only=True, wait=0.1) as reader:
            assert reader.count() == 1  # a lock does not keep readers away
        other.execute("ROLLBACK")
        log.add(record())
        assert log.count() == 2


def test_a_locked_table(postgresql: Server) -> None:
    url = postgresql.new_database()
    with open_log(url, wait=0.1) as log, postgresql.connect(url.rpartition("/")[2]) as other:
        with other.transaction():
            other.execute("LOCK TABLE records")
            with pytest.raises(TuningLogError, match="another process has kept it locked"):
                log.add(record())
        log.add(record())
        assert log.count() == 1


def without_privileges(program: str, *arguments: object) -> str:
    """What a program prints that is run as somebody to whom rights mean something: also root can be such a one."""
    source = f"""
import sys
from intbert.errors import IntbertError
from intbert.schedules.tuning_log import open_log
try:
    {program}
except IntbertError as error:
    print(error)
"""
    drop = ["setpriv", "--bounding-set", "-all"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*drop, sys.executable, "-c", source, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


READ = "print(open_log(sys.argv[1], read_only=True).count())"
WRITE = "open_log(sys.argv[1]); print('opened')"


@pytest.mark.parametrize("rights", [(0o755, 0o444), (0o555, 0o644), (0o555, 0o444)], ids=lambda r: f"{r[0]:o}-{r[1]:o}")
def test_rights_that_suffice_for_reading_only(tmp_path: Path, rights: tuple[int, int]) -> None:
    path = tmp_path / "log.db"
    with open_log(path) as log:
        log.add(record())
    path.chmod(rights[1])
    tmp_path.chmod(rights[0])
    try:
        assert without_privileges(READ, path) == "1"
        line = without_privileges(WRITE, path)
        assert line.startswith(str(path))
        assert "the rights of the file and of its folder" in line
    finally:
        tmp_path.chmod(0o755)


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    open_log(path).close()
    path.chmod(0)
    for program in (READ, WRITE):
        assert "cannot be opened; look at the rights" in without_privileges(program, path)


def test_no_server(free_port: int) -> None:
    url = f"postgresql://tuner:secret@127.0.0.1:{free_port}/log"
    line = refusal(url, wait=1)
    assert line.startswith(f"postgresql://tuner:***@127.0.0.1:{free_port}/log: cannot be reached (")
    assert line.endswith("; is the server running, and the URL right?")


def test_no_such_host() -> None:
    assert "cannot be reached" in refusal("postgresql://tuner:secret@no-such-host.invalid/log", wait=1)


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_wrong_password(postgresql: Server) -> None:
    url = postgresql.new_database()
    name = url.rpartition("/")[2]
    line = refusal(postgresql.url(name, "wrong"))
    assert line == (
        f"postgresql://tuner:***@127.0.0.1:{postgresql.port}/{name}: the server does not accept the password; "
        "look at the URL, PGPASSWORD and ~/.pgpass"
    )


def test_no_password(postgresql: Server) -> None:
    assert "the server wants a password" in refusal(f"postgresql://tuner@127.0.0.1:{postgresql.port}/postgres")


def test_no_such_database(postgresql: Server) -> None:
    assert "the server has no such database or user; make it with `createdb`" in refusal(postgresql.url("missing"))


def test_a_user_without_rights(postgresql: Server) -> None:
    url = postgresql.new_database()
    name = url.rpartition("/")[2]
    with postgresql.connect(name) as keeper:
        keeper.execute(f"CREATE ROLE \"guest_{name}\" LOGIN PASSWORD 'guest'".encode())
    guest = f"postgresql://guest_{name}:guest@127.0.0.1:{postgresql.port}/{name}"
    assert "this user may not do that in the database; ask its keeper" in refusal(guest)


def test_a_server_that_is_read_only(postgresql: Server) -> None:
    url = postgresql.new_database()
    with open_log(url) as log:
        log.add(record())
    with open_log(f"{url}?options=-cdefault_transaction_read_only%3Don") as log:
        assert log.count() == 1
        with pytest.raises(TuningLogError, match="cannot be written here: it is read-only"):
            log.add(record())


def test_the_servers_full_disk(postgresql: Server) -> None:
    """Its words; a disk of a server's own would need a mount."""
    from psycopg.errors import DiskFull

    address = parse(postgresql.new_database())
    assert isinstance(address, ServerAddress)
    store = PostgresqlStore(address, False, 1.0)
    line = str(store.explained(OperationalError("INSERT", {}, DiskFull("could not extend file"))))
    store.close()
    assert "the server's disk is full, this was not written; free some space there and do it again" in line


@pytest.mark.parametrize(
    "url",
    ["mysql://u:geheim@host/db", "sqlite://file", "sqlite:///x?mode=memory", "http://u:geheim@host", "postgresql://host",
     "postgresql://u:ge@heim:geheim@host:port/db", "postgresql+asyncpg://u:geheim@h/d", "sqlite:///:memory:", "sqlite:///",
     "", "://", "postgresql://u@h:5432x/db?password=geheim", "postgresql://u@h/?password=ge@heim"],
)  # fmt: skip
def test_urls_of_no_log(url: str) -> None:
    line = refusal(url)
    assert "give the path of a file, sqlite:///FILE, or postgresql://USER@HOST/DATABASE" in line
    assert "heim" not in line
    assert "geheim" not in line


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:p@q:r@h:1/d", "postgresql://u:***@h:1/d"),
        ("postgresql://u@h:1/d?password=p@q&x=1", "postgresql://u@h:1/d?password=***&x=1"),
        ("postgresql://:p@h/d", "postgresql://:***@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("log.db", "log.db"),
    ],
)
def test_passwords_are_never_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_the_password_is_in_no_words_of_the_log(postgresql: Server) -> None:
    url = postgresql.new_database()
    with open_log(url) as log:
        assert str(log) == url.replace("p%40ss%3Aw%2Frd%251", "***")
        assert PASSWORD not in repr(vars(log))
        assert "p%40ss" not in repr(parse(url))


def test_addresses() -> None:
    assert parse("log.db") == FileAddress(Path.cwd() / "log.db")
    assert parse("sqlite:///a/b%20c.db") == FileAddress(Path.cwd() / "a/b c.db")
    assert parse("sqlite:////a/b.db") == parse("/a/b.db") == FileAddress(Path("/a/b.db"))
    for scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        address = parse(f"{scheme}://u:p@h/d")
        assert isinstance(address, ServerAddress)
        assert str(address.url) == "postgresql+psycopg://u:***@h/d"


def test_a_server_that_restarts_costs_nothing(postgresql: Server) -> None:
    """The tuner adds a record while the server restarts; nothing is lost, and nothing is there twice."""
    with open_log(postgresql.new_database()) as log:
        log.add(record(at=0))
        postgresql.restart()
        log.add(record(at=1))
        assert log.count() == 2
        assert len(log.best([workload().hash], features={"neon"}, tvm=TVM, threads=1)) == 1
