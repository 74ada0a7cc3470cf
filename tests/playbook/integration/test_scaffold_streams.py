"""The stream broker keeps what the stock one loses, and leaves nothing behind."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from taskiq import AckableMessage
from taskiq.message import BrokerMessage
from taskiq_redis import RedisStreamBroker

from playbook.lab import Process, RedisServer, wait_until
from playbook.lab.surroundings import child_env
from playbook.scaffold.worker.streams import StreamBroker

pytestmark = pytest.mark.integration
QUEUE = "tests:queue"
BLOCK_MS = 50


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as started:
        yield started


@pytest.fixture(autouse=True)
def no_queue(server: RedisServer) -> None:
    server.client().delete(QUEUE)


def stock(server: RedisServer) -> RedisStreamBroker:
    return RedisStreamBroker(server.url, queue_name=QUEUE, consumer_group_name=QUEUE, xread_block=BLOCK_MS)


def ours(server: RedisServer) -> StreamBroker:
    return StreamBroker(server.url, QUEUE, xread_block=BLOCK_MS)


def message(number: int) -> BrokerMessage:
    return BrokerMessage(task_id=str(number), task_name="t", message=str(number).encode(), labels={})


async def sent(broker: RedisStreamBroker, numbers: range) -> None:
    for number in numbers:
        await broker.kick(message(number))


async def received(broker: RedisStreamBroker, count: int, within: float = 5) -> list[AckableMessage]:
    """Up to `count` messages; fewer if no more come within so many seconds."""
    found: list[AckableMessage] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            async for item in broker.listen():
                found.append(item)
                if len(found) == count:
                    break
    return found


async def test_what_is_sent_before_the_first_worker_is_run(server: RedisServer) -> None:
    lost = stock(server)
    await sent(lost, range(5))
    await lost.startup()
    assert await received(lost, 5, within=0.5) == []
    await lost.shutdown()
    server.client().delete(QUEUE)

    broker = ours(server)
    await sent(broker, range(5))
    await broker.startup()
    assert [item.data for item in await received(broker, 5)] == [b"0", b"1", b"2", b"3", b"4"]
    await broker.shutdown()


async def test_an_acknowledged_message_leaves_nothing_behind(server: RedisServer) -> None:
    redis = server.client()
    for broker, left in ((stock(server), 3), (ours(server), 0)):
        await broker.startup()
        await sent(broker, range(3))
        for item in await received(broker, 3):
            await item.ack()  # type: ignore[misc]
        assert redis.xpending(QUEUE, QUEUE)["pending"] == 0
        assert redis.xlen(QUEUE) == left
        await broker.shutdown()
        redis.delete(QUEUE)


async def test_a_worker_survives_a_redis_that_comes_back_empty(server: RedisServer) -> None:
    broker = ours(server)
    await broker.startup()
    listening = asyncio.create_task(received(broker, 1, within=10))
    await sent(broker, range(1))
    assert len(await listening) == 1
    server.client().delete(QUEUE)
    await sent(broker, range(7, 8))
    assert [item.data for item in await received(broker, 1, within=10)] == [b"7"]
    await broker.shutdown()


async def test_an_unacknowledged_message_stays_in_the_stream(server: RedisServer) -> None:
    broker = ours(server)
    await broker.startup()
    await sent(broker, range(2))
    await received(broker, 1)
    assert server.client().xlen(QUEUE) == 2
    await broker.shutdown()


def test_an_idle_worker_stops(server: RedisServer, tmp_path: Path) -> None:
    """On Python 3.11 the stock broker's worker hangs for more than a minute here."""
    package = "playbook.scaffold.worker"
    log = tmp_path / "worker.log"
    command = [sys.executable, "-m", "taskiq", "worker", f"{package}.broker:broker", f"{package}.health"]
    env = child_env(variables={"CELERY_BROKER_URL": server.url, "PATH": os.environ["PATH"]})
    worker = Process([*command, "--workers", "1"], name="worker", log_path=log, env=env)
    try:
        wait_until(lambda: "Listening started." in log.read_text(), 30)
        worker.stop(grace=15)
        assert worker.returncode == 0, "it had to be killed"
    finally:
        worker.kill()
