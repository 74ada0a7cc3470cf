"""The proxy fails as networks do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from playbook.lab import RedisServer
from playbook.lab.proxy import Proxy

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as started:
        yield started


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    with Proxy(server.url) as started:
        yield started


@pytest.fixture
def client(proxy: Proxy) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(proxy.url, socket_timeout=0.5, retry=Retry(NoBackoff(), 0)) as made:
        assert made.ping()
        yield made


def test_a_cut_breaks_connections_and_takes_new_ones(proxy: Proxy, client: redis.Redis) -> None:
    with socket.create_connection(
        ("127.0.0.1", int(urlsplit(proxy.url).port or 0)), timeout=10
    ) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(7) == b"+PONG\r\n"
        proxy.cut()
        assert connection.recv(1) == b""
    assert client.ping()


def test_requests_arrive_whose_answers_get_lost(
    server: RedisServer, proxy: Proxy, client: redis.Redis
) -> None:
    proxy.lose_answers()
    with pytest.raises(redis.TimeoutError):
        client.incr("count")
    proxy.heal()
    assert server.client().get("count") == "1"
    assert client.ping()


def test_what_is_sent_while_nothing_passes_arrives_later(
    server: RedisServer, proxy: Proxy, client: redis.Redis
) -> None:
    proxy.stall()
    with pytest.raises(redis.TimeoutError):
        client.set("late", "1")
    assert server.client().get("late") is None
    proxy.heal()
    assert client.ping()


def test_a_server_that_is_gone_shows_as_a_broken_connection(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server, Proxy(server.url) as proxy:
        server.stop()
        with pytest.raises(redis.ConnectionError):
            redis.Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 0)).ping()
