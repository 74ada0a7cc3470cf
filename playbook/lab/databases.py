"""Databases: a SQLite file, a PostgreSQL of our own, or a database in an external PostgreSQL."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import ArgumentError

from playbook.lab.effects.rows import in_transaction
from playbook.lab.errors import LabError
from playbook.lab.postgres_server import PostgresServer

ASYNC_DRIVER = "postgresql+asyncpg"


class Database(Protocol):
    """A database that is empty after `start` and belongs to the lab until `stop`."""

    url: str

    def start(self) -> object:
        """Make it ready and empty."""

    def stop(self) -> None:
        """Let go of it."""


def open_database(url: str | None, folder: Path) -> Database:
    """Choose the database.

    Parameters:
        url: None for SQLite; `"postgres"` for a server of our own; else a PostgreSQL URL.
        folder: for the SQLite file or the server's log.

    Raises:
        LabError: the URL cannot be used.
    """
    if url is None:
        return SqliteFile(folder / "database.sqlite3")
    if url == "postgres":
        return PostgresServer(folder / "logs")
    return ExternalPostgres(url, name=f"playbook_{folder.name}_{os.getpid()}")


class SqliteFile:
    """A SQLite database; what an earlier lab left in the file is removed. The file stays, to be looked at.

    Parameters:
        path: absolute path of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite+aiosqlite:///{path}"

    def start(self) -> None:
        """Remove the file with its journals."""
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def stop(self) -> None:
        """Leave the file as it is."""


class ExternalPostgres:
    """A database of our own in somebody else's PostgreSQL: created at the start, dropped by name at the end.

    Parameters:
        url: any database on the server, for a user who may create databases.
        name: our database's name; letters that need quoting are replaced.
    """

    def __init__(self, url: str, name: str) -> None:
        try:
            server = make_url(url)
        except ArgumentError:
            raise LabError(f"the database URL {url!r} is not a SQLAlchemy URL") from None
        if server.get_backend_name() != "postgresql":
            raise LabError(
                f"the database {url} is not PostgreSQL; give a postgresql:// URL, or none at all for SQLite"
            )
        self.name = re.sub(r"\W", "_", name).lower()
        server = server.set(drivername=ASYNC_DRIVER)
        self._server = server.render_as_string(hide_password=False)
        self.url = server.set(database=self.name).render_as_string(hide_password=False)

    def start(self) -> None:
        """Create the database; raise `LabError` if the server cannot be reached or forbids it."""
        self._execute(f'CREATE DATABASE "{self.name}"')

    def stop(self) -> None:
        """Drop the database that we created, also if somebody is still connected to it."""
        self._execute(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        def work(connection: Connection) -> None:
            # These statements refuse to run inside a transaction.
            connection.execute(text("COMMIT"))
            connection.execute(text(statement))

        in_transaction(self._server, work)
