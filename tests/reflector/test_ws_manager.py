"""Events between processes and loops, over a real Redis that can go away."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError

from reflector import ws_manager
from reflector.ws_manager import RESYNC, Published, Subscription, WebsocketManager
from tests.reflector.servers import redis_executable
from tests.reflector.waiting import wait_for

DEADLINE = 20.0


@pytest.fixture
async def manager(redis_url: str) -> AsyncIterator[WebsocketManager]:
    manager = WebsocketManager(redis_url)
    await manager.start()
    yield manager
    await manager.stop()


class OwnRedis:
    """A Redis server that a test can stop and start again."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        self._process = subprocess.Popen([redis_executable(), *options], stdout=subprocess.DEVNULL)
        wait_for(self._answers, "Redis")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with Redis.from_url(self.url) as client:
                return bool(client.ping())
        except RedisError:
            return False


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    server = OwnRedis(tmp_path)
    yield server
    server.stop()


async def take(subscription: Subscription) -> Any:
    return await asyncio.wait_for(subscription.get(), DEADLINE)


async def take_message(subscription: Subscription) -> dict[str, Any]:
    """The next message; marks in between are passed over."""
    while (item := await take(subscription)) is RESYNC:
        pass
    return item.message  # type: ignore[no-any-return]


def clients(server: OwnRedis) -> int:
    """The number of connections to the server, this question's own included."""
    with Redis.from_url(server.url) as client:
        return len(client.client_list())


async def test_all_in_the_room_hear_in_order(manager: WebsocketManager) -> None:
    async with manager.subscribe("ts:1") as first, manager.subscribe("ts:1") as second:
        assert await take(first) is RESYNC
        assert await take(second) is RESYNC
        for number in range(50):
            await manager.send_json("ts:1", {"event": "E", "data": {"n": number}}, seq=number)
        for subscription in (first, second):
            items = [await take(subscription) for _ in range(50)]
            assert [item.seq for item in items] == list(range(50))
            assert items[7] == Published(message={"event": "E", "data": {"n": 7}}, seq=7)


async def test_other_rooms_hear_nothing(manager: WebsocketManager) -> None:
    async with manager.subscribe("ts:1") as first, manager.subscribe("ts:2") as second:
        assert await take(first) is RESYNC
        assert await take(second) is RESYNC
        await manager.send_json("ts:1", {"n": 1})
        await manager.send_json("ts:2", {"n": 2})
        assert await take_message(second) == {"n": 2}
        assert await take_message(first) == {"n": 1}


async def test_a_newcomer_does_not_disturb_the_others(manager: WebsocketManager) -> None:
    async with manager.subscribe("user:1") as first:
        assert await take(first) is RESYNC
        async with manager.subscribe("user:1") as second:
            assert await take(second) is RESYNC
            await manager.send_json("user:1", {"n": 1})
            assert (await take(first)).message == {"n": 1}


async def test_nobody_listens(manager: WebsocketManager) -> None:
    await manager.send_json("ts:empty", {"n": 1})


async def test_leaving_and_coming_back(manager: WebsocketManager, redis: Redis) -> None:
    for number in range(5):
        async with manager.subscribe("ts:1") as subscription:
            assert await take(subscription) is RESYNC
            await manager.send_json("ts:1", {"n": number})
            assert await take_message(subscription) == {"n": number}
    await asyncio.to_thread(wait_for, lambda: not redis.pubsub_channels("ts:*"), "an empty room")


async def test_coming_back_while_the_farewell_is_on_its_way(manager: WebsocketManager) -> None:
    async with manager.subscribe("ts:1") as gone:
        pass
    async with manager.subscribe("ts:1") as back:
        assert await take(back) is RESYNC
        await manager.send_json("ts:1", {"n": 1})
        assert await take_message(back) == {"n": 1}
    assert gone is not back


async def test_tasks_of_short_lived_loops_leave_no_connections(own_redis: OwnRedis) -> None:
    await asyncio.to_thread(own_redis.start)
    manager = WebsocketManager(own_redis.url)
    await manager.start()
    async with manager.subscribe("ts:1") as subscription:
        assert await take(subscription) is RESYNC

        def work() -> None:
            for number in range(20):
                asyncio.run(manager.send_json("ts:1", {"n": number}))

        worker = asyncio.create_task(asyncio.to_thread(work))
        assert [(await take(subscription)).message["n"] for _ in range(20)] == list(range(20))
        await worker
        # The listener's and the question's.
        await asyncio.to_thread(wait_for, lambda: clients(own_redis) == 2, "closed connections")
    await manager.stop()
    await asyncio.to_thread(wait_for, lambda: clients(own_redis) == 1, "the listener's end")


async def test_a_slow_socket_holds_up_nobody(
    manager: WebsocketManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ws_manager, "QUEUE_SIZE", 10)
    async with manager.subscribe("ts:1") as slow, manager.subscribe("ts:1") as quick:
        assert await take(quick) is RESYNC
        for number in range(25):
            await manager.send_json("ts:1", {"n": number})
            assert (await take(quick)).message == {"n": number}
        # What the slow one missed is told by a mark, and what came after it is there.
        items = [await take(slow) for _ in range(slow._queue.qsize())]
        assert items[0] is RESYNC
        assert items[-1].message == {"n": 24}
        assert len(items) <= 10


async def test_foreign_messages_are_ignored(manager: WebsocketManager, redis_url: str) -> None:
    async with manager.subscribe("ts:1") as subscription:
        assert await take(subscription) is RESYNC
        async with AsyncRedis.from_url(redis_url) as client:
            await client.publish("ts:1", b"\xff not json")
        await manager.send_json("ts:1", {"n": 1})
        assert (await take(subscription)).message == {"n": 1}


async def test_a_room_that_waits_for_redis(own_redis: OwnRedis) -> None:
    manager = WebsocketManager(own_redis.url)
    await manager.start()
    async with manager.subscribe("ts:1") as subscription:
        await asyncio.to_thread(own_redis.start)
        assert await take(subscription) is RESYNC
        await manager.send_json("ts:1", {"n": 1})
        assert await take_message(subscription) == {"n": 1}
    await manager.stop()


async def test_redis_goes_away_and_comes_back(own_redis: OwnRedis) -> None:
    await asyncio.to_thread(own_redis.start)
    manager = WebsocketManager(own_redis.url)
    await manager.start()
    async with manager.subscribe("ts:1") as early:
        assert await take(early) is RESYNC
        await asyncio.to_thread(own_redis.stop)
        with pytest.raises((RedisError, OSError)):
            await manager.send_json("ts:1", {"lost": True})
        async with manager.subscribe("ts:2") as meanwhile:
            await asyncio.to_thread(own_redis.start)
            assert await take(early) is RESYNC
            assert await take(meanwhile) is RESYNC
            for room, subscription in (("ts:1", early), ("ts:2", meanwhile)):
                await manager.send_json(room, {"room": room})
                assert await take_message(subscription) == {"room": room}
    await manager.stop()


async def test_stop_ends_at_once(redis_url: str) -> None:
    manager = WebsocketManager(redis_url)
    await manager.start()
    async with manager.subscribe("ts:1") as subscription:
        assert await take(subscription) is RESYNC
        await asyncio.wait_for(manager.stop(), 5)
    await manager.stop()
