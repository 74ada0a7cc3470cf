"""Retries with real workers on both sides: the same attempts, after the same delays (traps T21 to T23)."""

import asyncio
import contextlib
import itertools
import json
import sys
from collections import defaultdict

import pytest
from celery import Celery
from taskiq import SimpleRetryMiddleware
from taskiq_redis import RedisStreamBroker

from playbook.lab import wait_until
from playbook.scaffold.worker.retries import RetryPolicy
from tests.playbook.integration.scaffold import GROUP, QUEUE, Site, kick, our_broker, receiving
from tests.playbook.integration.scaffold_retry_tasks import POLICIES

pytest_plugins = ("tests.playbook.integration.scaffold_fixtures",)
pytestmark = pytest.mark.integration
SLACK = 1.0
"""Seconds by which an attempt may be late on a busy machine."""


def attempts(site: Site, system: str) -> dict[str, list[float]]:
    """The times of each task's attempts, in their order; fails if their numbers are not 0, 1, 2, ..."""
    found: dict[str, list[float]] = defaultdict(list)
    for line in site.redis.lrange(f"tests:{system}", 0, -1):
        name, retries, at = json.loads(line)
        assert retries == len(found[name])
        found[name].append(at)
    return found


def bounds(name: str, retries: int) -> tuple[float, float]:
    """The shortest and the longest delay after an attempt that the options allow."""
    options = POLICIES[name]
    policy = RetryPolicy.of(options)
    explicit = options.get("explicit")
    if explicit is not None:
        delay = explicit.get("countdown", policy.default_retry_delay)
        return delay, delay
    longest = policy.next_delay(retries, randrange=lambda stop: stop - 1)
    if longest is None:
        delay = policy.retry_kwargs.get("countdown", policy.default_retry_delay)
        return delay, delay
    return (0 if policy.retry_jitter else longest), longest


def test_twelve_policies_live(site: Site) -> None:
    celery = [sys.executable, "-m", "celery", "-A", "scaffold_retry_tasks:app", "worker", "--pool", "threads"]
    site.start([*celery, "--concurrency", "4", "--loglevel", "info"], "ready.")
    site.worker(tasks="scaffold_retry_tasks")
    app = Celery(broker=site.server.url, backend=site.server.url, set_as_current=False)
    sent = {name: app.send_task(name) for name in POLICIES}

    async def send() -> dict[str, str]:
        broker = our_broker(site.server.url)
        tasks = {name: await kick(broker, name) for name in POLICIES}
        results = {name: await task.wait_result(timeout=60) for name, task in tasks.items()}
        await broker.shutdown()
        return {name: repr(result.error) for name, result in results.items()}

    errors = asyncio.run(send())
    assert wait_until(lambda: all(result.ready() for result in sent.values()), 60)
    assert errors == {name: repr(result.result) for name, result in sent.items()}
    expected, found = attempts(site, "celery"), attempts(site, "taskiq")
    assert {n: len(times) for n, times in found.items()} == {n: len(times) for n, times in expected.items()}
    for times in (expected, found):
        for name, moments in times.items():
            for retries, (before, after) in enumerate(itertools.pairwise(moments)):
                shortest, longest = bounds(name, retries)
                assert shortest - 0.01 <= after - before < longest + SLACK, (name, retries)


async def test_stock_retries_are_others(site: Site) -> None:
    """T21: three attempts where Celery has four. T22: none of them waits."""
    broker = RedisStreamBroker(
        site.server.url,
        queue_name=QUEUE,
        consumer_group_name=GROUP,
        consumer_id="0",
        xread_block=50,
        socket_timeout=None,
    ).with_middlewares(SimpleRetryMiddleware())
    times: list[float] = []

    @broker.task("t", retry_on_error=True, max_retries=3, delay=60)
    async def t() -> None:
        times.append(asyncio.get_running_loop().time())
        raise ValueError

    async with receiving(broker):
        await t.kiq()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.Event().wait()
    assert len(times) == 3
    assert times[-1] - times[0] < 1


async def test_a_crash_neither_loses_nor_doubles_a_retry(site: Site) -> None:
    """The next attempt is there exactly when this one is gone."""
    broker = our_broker(site.server.url)
    asked = asyncio.Event()

    @broker.task("t", bind=True, default_retry_delay=600)
    async def t(self: object) -> None:
        asked.set()
        raise self.retry()  # type: ignore[attr-defined]

    delayed = "{taskiq}:delayed:default"
    async with receiving(broker):
        task = await t.kiq()
        await asked.wait()
        assert await asyncio.to_thread(wait_until, lambda: site.redis.zcard(delayed) == 1, 5)
        assert site.redis.xlen(QUEUE) == 0
        assert not await task.is_ready()
