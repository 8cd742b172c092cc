import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, StatementError

from ml_backend.cli.exits import FAILED, explain
from ml_backend.doctor.infrastructure import check_database
from ml_backend.doctor.installation import Installation
from ml_backend.settings import Settings
from ml_backend.store import events, projects
from ml_backend.store.database import Database, DatabaseError
from ml_backend.store.models import Base, Project

OPEN = "import sys; from ml_backend.store.database import Database; Database(sys.argv[1]).close()"


def test_migrations_create_exactly_the_tables_of_the_models(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


@pytest.mark.slow
def test_processes_that_start_together_migrate_once(database_url: str) -> None:
    starts = [subprocess.Popen([sys.executable, "-c", OPEN, database_url]) for _ in range(3)]
    assert [start.wait() for start in starts] == [0, 0, 0]


def test_a_failed_transaction_is_rolled_back(database: Database) -> None:
    def fail_after_writing() -> None:
        with database.write() as session:
            projects.ensure(session, 3, seed=0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_after_writing()
    with database.read() as session:
        assert projects.get(session, 3) is None


def test_events_of_unknown_projects_are_refused(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as session:
        events.add(session, 99, "ANNOTATION_CREATED")


def test_times_are_read_in_utc(database: Database) -> None:
    moment = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    with database.write() as session:
        projects.ensure(session, 3, seed=0).created_at = moment
    with database.read() as session:
        assert session.get_one(Project, 3).created_at == moment
    with pytest.raises(StatementError, match="time zone"), database.write() as session:
        session.get_one(Project, 3).created_at = datetime(2026, 1, 1)


def test_writers_of_many_threads_wait_for_each_other(database: Database) -> None:
    with database.write() as session:
        projects.ensure(session, 3, seed=0)
    failures: list[Exception] = []

    def write_many(writer: int) -> None:
        try:
            for number in range(10):
                with database.write() as session:
                    before = events.pending(session, 3).changes
                    events.add(session, 3, "ANNOTATION_CREATED", changes=[f"{writer}:{number}"])
                    session.flush()
                    assert events.pending(session, 3).changes > before
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=write_many, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.read() as session:
        assert events.pending(session, 3).changes == 40


def test_sqlite_allows_reads_during_a_write(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a folder' / 'dsal.sqlite3'}")
    with database.write() as session:
        projects.ensure(session, 3, seed=0)
        session.flush()
        with database.read() as other:
            assert projects.get(other, 3) is None
            assert other.scalar(text("PRAGMA journal_mode")) == "wal"
    database.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "nonsense"])
def test_unusable_urls_are_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(DatabaseError, match=r"DATABASE_URL.*\."):
        Database(url)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_store_all_texts_is_refused_in_one_sentence(
    postgresql_server: str, encoding: str
) -> None:
    name = f"in_{encoding.lower()}"
    create = f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
    with psycopg.connect(f"{postgresql_server}postgres", autocommit=True) as connection:
        connection.execute(create)
    settings = Settings(database_url=f"{postgresql_server}{name}")
    with pytest.raises(DatabaseError) as refused:
        Database(settings.database_url)
    sentence = str(refused.value)
    assert sentence.startswith(
        f"The database {name} of DATABASE_URL has the encoding {encoding} instead of UTF8: "
    )
    assert explain(refused.value) == (sentence, FAILED)
    (verdict,) = check_database(Installation(settings))
    assert verdict.sentence == sentence
    # The cure that the sentence names.
    with psycopg.connect(f"{postgresql_server}postgres", autocommit=True) as connection:
        connection.execute(sentence.partition(" by ")[2].partition(", and ")[0])
    Database(f"{settings.database_url}_utf8").close()
