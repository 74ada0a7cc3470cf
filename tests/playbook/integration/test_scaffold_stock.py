"""What stock taskiq-redis does, shown in this process: the reasons for our broker.

Beside each stands the name of the test that shows ours, with real workers.
"""

import asyncio
import contextlib
import json
import pickle
import time
from collections import Counter
from typing import Any

import pytest
from redis import Redis
from taskiq import AsyncBroker, ScheduledTask, SmartRetryMiddleware, TaskiqMessage
from taskiq_redis import ListRedisScheduleSource, RedisAsyncResultBackend, RedisStreamBroker

from playbook.scaffold.worker.retries import RetryPolicy
from tests.playbook.integration.scaffold import GROUP, QUEUE, Site, kick, our_broker, receiving, until

pytest_plugins = ("tests.playbook.integration.scaffold_fixtures",)
pytestmark = pytest.mark.integration


def stock(site: Site, **options: Any) -> RedisStreamBroker:
    broker = RedisStreamBroker(
        site.server.url,
        queue_name=QUEUE,
        consumer_group_name=GROUP,
        consumer_id="0",
        xread_block=50,
        socket_timeout=None,
        **options,
    )
    return broker.with_result_backend(RedisAsyncResultBackend(site.server.url))


def counting(broker: AsyncBroker, seconds: float = 0.0) -> list[Any]:
    """Register a task `count` that notes its start and takes a while."""
    starts: list[Any] = []

    @broker.task("count")
    async def count(what: Any) -> Any:
        starts.append(what)
        await asyncio.sleep(seconds)
        return what

    return starts


async def passed(seconds: float) -> None:
    """Let time pass in which something does not happen."""
    deadline = time.monotonic() + seconds
    await until(lambda: time.monotonic() > deadline, within=seconds + 5)


async def dead_worker(site: Site, broker: AsyncBroker) -> None:
    """A message that a worker has read that is no more."""
    site.redis.xgroup_create(QUEUE, GROUP, id="0", mkstream=True)
    await kick(broker, "count", "orphan")
    site.redis.xreadgroup(GROUP, "dead", {QUEUE: ">"})
    site.redis.zadd("{taskiq}:workers:default", {"dead": 1})


async def test_t2_a_quiet_queue_is_not_reclaimed(site: Site) -> None:
    """Ours: test_a_killed_workers_task_starts_again_on_an_idle_queue."""
    broker = stock(site, idle_timeout=100)
    starts = counting(broker)
    await dead_worker(site, broker)
    async with receiving(broker):
        await passed(2)
        assert starts == []
        await kick(broker, "count", "traffic")
        await until(lambda: set(starts) == {"orphan", "traffic"})
    site.redis.flushall()

    broker_ = our_broker(site.server.url)
    starts = counting(broker_)
    await dead_worker(site, broker_)
    async with receiving(broker_):
        await until(lambda: starts == ["orphan"], within=3)


async def test_t3_a_task_longer_than_the_timeout_runs_again(site: Site) -> None:
    """Ours: test_a_task_three_times_as_long_as_the_lease_runs_once."""
    broker = stock(site, idle_timeout=200)
    starts = counting(broker, seconds=1.5)
    async with receiving(broker):
        await kick(broker, "count", "long")
        await until(lambda: starts)
        await passed(0.5)
        await kick(broker, "count", "traffic")
        await until(lambda: starts.count("long") > 1)


@pytest.mark.parametrize("kind", ["stock", "ours"])
async def test_t4_hoarding(site: Site, kind: str) -> None:
    def make() -> AsyncBroker:
        return stock(site) if kind == "stock" else our_broker(site.server.url)

    sender = make()
    for number in range(20):
        await kick(sender, "count", number)
    workers = [make(), make()]
    starts = [counting(worker, seconds=0.1) for worker in workers]
    async with contextlib.AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(receiving(worker, slots=1))
        await until(lambda: sum(map(len, starts)) == 20)
    shares = sorted(map(len, starts))
    assert shares == [0, 20] if kind == "stock" else min(shares) >= 8
    assert Counter(starts[0] + starts[1]) == Counter(range(20))
    await sender.shutdown()


@pytest.mark.parametrize("kind", ["stock", "ours"])
async def test_t5_what_was_read_when_a_worker_stops(site: Site, kind: str) -> None:
    """With a process of its own: test_a_stopping_worker_leaves_no_work_behind."""
    broker = stock(site) if kind == "stock" else our_broker(site.server.url)
    starts = counting(broker, seconds=0.3)
    for number in range(10):
        await kick(broker, "count", number)
    async with receiving(broker, slots=1):
        await until(lambda: starts)
    stranded = site.redis.xpending(QUEUE, GROUP)["pending"]
    assert stranded > 0 if kind == "stock" else stranded == 0
    assert site.redis.xlen(QUEUE) == 10 if kind == "stock" else site.redis.xlen(QUEUE) == 10 - len(starts)


async def test_t9_a_limit_of_length_deletes_what_has_not_run(site: Site) -> None:
    """Ours needs none, because what is done is deleted: test_a_finished_task_leaves_its_result_only."""
    broker = stock(site, maxlen=3, approximate=False)
    starts = counting(broker)
    for number in range(10):
        await kick(broker, "count", number)
    async with receiving(broker):
        await until(lambda: starts == [7, 8, 9])
        await passed(0.3)
    assert starts == [7, 8, 9]


async def test_t9_an_entry_that_was_trimmed_in_flight(site: Site) -> None:
    """Redis 6.2 returns it without fields, and the worker ends; later ones drop it, and nobody learns of it.

    Ours: test_an_entry_that_was_trimmed_in_flight_does_no_harm.
    """
    broker = stock(site, idle_timeout=50)
    starts = counting(broker)
    await dead_worker(site, broker)
    site.redis.xtrim(QUEUE, maxlen=0, approximate=False)
    await kick(broker, "count", "traffic")
    await passed(0.1)
    await broker.startup()
    reading = broker.listen()
    await (await anext(reading)).ack()  # type: ignore[misc]
    next_read = asyncio.ensure_future(anext(reading))
    if site.server.version.startswith("6."):
        with pytest.raises(TypeError, match="NoneType"):
            await asyncio.wait_for(next_read, 5)
    else:
        await until(lambda: site.redis.xpending(QUEUE, GROUP)["pending"] == 0)
        next_read.cancel()
    assert starts == []
    await broker.shutdown()


async def test_t17_results_are_pickled_under_the_bare_id_for_ever(site: Site) -> None:
    """Ours: test_a_finished_task_leaves_its_result_only."""
    broker = stock(site)
    counting(broker)
    async with receiving(broker):
        task = await kick(broker, "count", 1)
        await task.wait_result(check_interval=0.02, timeout=10)
    assert site.redis.ttl(task.task_id) == -1
    with pytest.raises(ValueError, match=r"codec|utf|Expecting"):
        json.loads(site.redis.get(task.task_id))


async def test_t18_waiting_without_a_result_backend_returns_at_once(site: Site) -> None:
    """Ours has its own result backend from the start."""
    bare = RedisStreamBroker(site.server.url, queue_name=QUEUE)
    result = await (await kick(bare, "nobody.runs.it")).wait_result(timeout=5)
    assert not result.is_err
    await bare.shutdown()

    broker = our_broker(site.server.url)
    task = await kick(broker, "nobody.runs.it")
    with pytest.raises(Exception, match="timed out"):
        await task.wait_result(check_interval=0.02, timeout=0.3)
    await broker.shutdown()


def test_t23_exponential_is_linear() -> None:
    """Ours: test_every_policy_has_celerys_attempts_and_delays."""
    message = TaskiqMessage(task_id="i", task_name="t", labels={"delay": 1}, args=[], kwargs={})
    middleware = SmartRetryMiddleware(use_delay_exponent=True, max_delay_exponent=600)
    assert [middleware.make_delay(message, retries) for retries in range(1, 6)] == [1, 2, 3, 4, 5]
    ours = RetryPolicy(retry_backoff=True, retry_jitter=False)
    assert [ours.next_delay(retries) for retries in range(5)] == [1, 2, 4, 8, 16]


async def test_t31_a_schedule_waits_in_redis_as_a_pickle(site: Site) -> None:
    """Beside it a task of ours that waits for its time there."""
    source = ListRedisScheduleSource(site.server.url)
    await source.add_schedule(ScheduledTask(task_name="t", labels={}, args=[1], kwargs={}, cron="0 5 * * *"))
    await source.shutdown()
    broker = our_broker(site.server.url)
    await kick(broker, "t", 1, countdown=60)
    await broker.shutdown()
    with Redis.from_url(site.server.url) as redis:
        (schedule,) = (redis.get(key) for key in redis.scan_iter("schedule:data:*"))
        (waiting,) = redis.hvals("{taskiq}:payloads:default")
    assert schedule.startswith(pickle.PROTO)
    message, _ = json.JSONDecoder().raw_decode(waiting[waiting.index(b"{") :].decode("latin-1"))
    assert (message["task_name"], message["args"]) == ("t", [1])
