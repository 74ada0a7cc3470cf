"""Clients for whatever kind of Redis a URL names; all of it is redis-py's own.

    redis://host:6379/1    rediss://host:6379/1    unix:///path?db=1
    sentinel://host1:26379;sentinel://host2:26379/1?master_name=NAME
    redis+cluster://host:6379    rediss+cluster://host:6379

A client does not repeat a command by itself when the connection breaks: only the caller knows whether the
command may run twice.
"""

import re
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from redis import asyncio as aio
from redis import exceptions
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

ERRORS = (exceptions.RedisError, exceptions.RedisClusterException, OSError)
"""All errors of a command; redis-py's RedisClusterException is no RedisError, a time-out is an OSError."""

OUTAGE = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
    # Also raised for a first command while another task is still loading the cluster's table of commands.
    exceptions.RedisClusterException,
    OSError,
)
"""What a Redis that is away, full, restarting or failing over looks like. All of it passes."""

REFUSED = re.compile(
    r"^(Error running script .*: -)?"
    r"(MISCONF|NOREPLICAS|BUSY|OOM|READONLY|MASTERDOWN|LOADING|CLUSTERDOWN|TRYAGAIN)\b"
)
"""Answers of a Redis that takes no writes at the moment: disk full, replicas away, busy, memory full, ...

Redis 6.2 wraps what a command inside a script answers, and redis-py then sees a plain error of the script.
"""

CONNECTIONS = 10
"""Most connections of one process; whoever finds all of them busy waits for one."""

TIMEOUT = 5.0
"""Seconds to wait for an answer."""


def async_client(url: str, pool: aio.ConnectionPool) -> Any:
    """Return an asyncio client.

    Args:
        url: as above.
        pool: connections to use for a single Redis.
    """
    if is_cluster(url):
        return aio.RedisCluster.from_url(_plain(url), protocol=2, socket_timeout=None)
    if url.startswith("sentinel:"):
        hosts, master, options = _sentinels(url)
        sentinel: Any = aio.Sentinel(  # type: ignore[no-untyped-call]
            hosts, sentinel_kwargs=_without_db(options), **options, socket_timeout=None
        )
        return sentinel.master_for(master, retry=AsyncRetry(NoBackoff(), 0))
    return aio.Redis(connection_pool=pool)


def client(url: str) -> Any:
    """Return a synchronous client, for a thread of its own."""
    if is_cluster(url):
        return redis.RedisCluster.from_url(_plain(url), protocol=2, socket_timeout=TIMEOUT)
    if url.startswith("sentinel:"):
        hosts, master, options = _sentinels(url)
        sentinel: Any = redis.Sentinel(  # type: ignore[no-untyped-call]
            hosts, sentinel_kwargs=_without_db(options), **options, socket_timeout=TIMEOUT
        )
        return sentinel.master_for(master, retry=Retry(NoBackoff(), 0))
    return redis.Redis.from_url(url, protocol=2, socket_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0))


def is_outage(error: BaseException) -> bool:
    """Tell whether an error is one that passes: Redis is away, full, restarting or failing over."""
    refused = isinstance(error, exceptions.ResponseError) and REFUSED.search(str(error)) is not None
    return refused or isinstance(error, OUTAGE)


def is_cluster(url: str) -> bool:
    """Tell whether a URL names a cluster."""
    return "+cluster:" in url


def pool_url(url: str) -> str:
    """Return a URL that redis-py's connection pool understands: the pool of other kinds is never used."""
    return _plain(url) if not url.startswith("sentinel:") else "redis://"


def pool_options() -> dict[str, Any]:
    """Return the options of the pool.

    Without a socket time-out: redis-py 8 would turn the cancellation of a stopping worker into a time-out
    error on Python 3.11, and the worker would not stop. Callers set their own limits.
    """
    return {
        "protocol": 2,
        "max_connection_pool_size": CONNECTIONS,
        "socket_timeout": None,
        "retry": AsyncRetry(NoBackoff(), 0),
    }


def _plain(url: str) -> str:
    return url.replace("+cluster:", ":", 1)


def _sentinels(url: str) -> tuple[list[tuple[str, int]], str, dict[str, Any]]:
    """Return the sentinels' addresses, the name of the master, and the options of a connection."""
    parts = [urlsplit(part) for part in url.split(";")]
    query = {name: values[-1] for part in parts for name, values in parse_qs(part.query).items()}
    if "master_name" not in query:
        raise ValueError("a Sentinel URL must end with ?master_name=NAME, the name that the sentinels watch")
    database = next((part.path.strip("/") for part in parts if part.path.strip("/")), "0")
    options: dict[str, Any] = {"db": int(database), "protocol": 2}
    for part in parts:
        if part.password:
            options["password"] = unquote(part.password)
            options["username"] = unquote(part.username) if part.username else None
    hosts = [(part.hostname or "localhost", part.port or 26379) for part in parts]
    return hosts, query["master_name"], options


def _without_db(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "db"}
