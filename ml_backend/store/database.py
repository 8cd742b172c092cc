"""The database: one engine per process, short transactions, schema migrated on start."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

from ml_backend.label_studio.decoding import encoded
from ml_backend.store.migrate import upgrade
from ml_backend.store.private import private_database

BUSY_SECONDS = 10.0


class DatabaseError(ValueError):
    """The database cannot be used as configured."""


class Database:
    """Access to the tables.

    `read` and `write` open a session for one short transaction. On SQLite, writers take the lock at the
    start: a transaction that starts by reading and then meets another writer fails instead of waiting.
    """

    def __init__(self, url: str, *, migrate: bool = True) -> None:
        """Open the database at `url` and migrate its schema; several processes may do so at once.

        Without `migrate`, nothing is created or changed.

        Raises:
            DatabaseError: `url` is not the URL of a usable database, or, when it is first used, the database
                cannot store all texts.
        """
        try:
            self.url = make_url(url)
            self.engine = _sqlite_engine(url) if self.url.drivername == "sqlite" else _server_engine(url)
        except ArgumentError as error:
            raise DatabaseError(f"DATABASE_URL is not a database URL: {error}.") from error
        self._writer = self.engine.execution_options(dsal_write=True)
        self._writer_lock = self._new_writer_lock()
        if migrate:
            if self.file is not None:
                private_database(self.file)
            upgrade(self.engine)

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database; None for other databases."""
        return Path(str(self.url.database)) if self.url.drivername == "sqlite" else None

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that reads one consistent state; its changes are discarded."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose changes are committed at the end of the block, or rolled back if it raises."""
        with self._writer_lock, Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def after_fork(self) -> None:
        """Drop connections inherited from the parent process without closing the parent's own."""
        self.engine.dispose(close=False)
        self._writer_lock = self._new_writer_lock()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _new_writer_lock(self) -> AbstractContextManager[object]:
        # SQLite lets writers poll for its lock, ever more slowly; threads that wait here are served in turn.
        return threading.Lock() if self.url.drivername == "sqlite" else nullcontext()


def _server_engine(url: str) -> Engine:
    engine = create_engine(url, pool_size=8, max_overflow=8, pool_pre_ping=True, json_serializer=encoded)
    if engine.driver == "psycopg":
        # First: SQLAlchemy's own first queries fail where texts come as bytes.
        event.listen(engine, "connect", _require_utf8, insert=True)
    return engine


def _require_utf8(connection: Any, _record: Any) -> None:
    """Raise DatabaseError for a PostgreSQL database in which not every name and text can be stored."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        name = connection.info.dbname
        raise DatabaseError(
            f"The database {name} of DATABASE_URL has the encoding {encoding} instead of UTF8: create another"
            f" one by CREATE DATABASE {name}_utf8 ENCODING 'UTF8' TEMPLATE template0, and name that in"
            " DATABASE_URL."
        )


def _sqlite_engine(url: str) -> Engine:
    path = make_url(url).database
    if not path or path == ":memory:":
        raise DatabaseError("DATABASE_URL must name a file, because several processes share the database.")
    engine = create_engine(url, pool_size=16, connect_args={"timeout": BUSY_SECONDS}, json_serializer=encoded)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver would begin transactions itself, late and as readers; `_begin_sqlite` does it instead.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("dsal_write", False)
    connection.execute(text("BEGIN IMMEDIATE" if writes else "BEGIN"))
