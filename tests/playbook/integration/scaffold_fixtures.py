"""The fixtures of the scaffold's tests: a Redis, and workers on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from playbook.lab import RedisServer
from tests.playbook.integration.scaffold import Site, site_on


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for the tests of one file."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as started:
        yield started


@pytest.fixture
def site(server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    """That Redis, empty, and workers on it."""
    with site_on(server, tmp_path) as started:
        yield started
