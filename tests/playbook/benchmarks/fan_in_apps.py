"""A chord on Celery, one on our workflows, `gather` and a callback on stock TaskIQ; a Redis database each."""

import asyncio
import time

from celery import Celery
from celery import chord as celery_chord
from speed_apps import TTL, database
from taskiq import gather
from taskiq.serializers import JSONSerializer
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from playbook.scaffold.worker.broker import equip
from playbook.scaffold.worker.plans import Plan
from playbook.scaffold.worker.streams import StreamBroker
from playbook.scaffold.worker.workflow import chord, start

stock = RedisStreamBroker(database(1), consumer_id="0", socket_timeout=None).with_result_backend(
    RedisAsyncResultBackend(database(1), result_ex_time=TTL, serializer=JSONSerializer())
)
ours = StreamBroker(database(2), result_ttl=TTL)
equip(ours)
app = Celery("fan_in", broker=database(3), backend=database(3), set_as_current=False)
app.conf.result_expires = TTL


def ended(sent: float) -> float:
    """A member: when it ended (s)."""
    return time.time()


def waited(members: list[float]) -> list[float]:
    """The body: when the last member ended, and when it started itself (s)."""
    return [max(members), time.time()]


@stock.task("member")
async def stock_member(sent: float) -> float:
    """See `ended`."""
    return ended(sent)


@stock.task("body")
async def stock_body(members: list[float]) -> list[float]:
    """See `waited`."""
    return waited(members)


@ours.task("member")
async def our_member(sent: float) -> float:
    """See `ended`."""
    return ended(sent)


@ours.task("body")
async def our_body(members: list[float]) -> list[float]:
    """See `waited`."""
    return waited(members)


celery_member = app.task(name="member", shared=False)(ended)
celery_body = app.task(name="body", shared=False)(waited)


async def gather_of(size: int, waiting: bool = True) -> list[float]:
    """Run members and a callback as the guide does; without `waiting` only send the members."""
    now = time.time()
    sent = [await stock_member.kiq(now) for _ in range(size)]
    if not waiting:
        return []
    found = await gather(*sent, timeout=300)
    body = await stock_body.kiq([result.return_value for result in found])
    return (await body.wait_result(timeout=60)).return_value


async def chord_of(size: int, waiting: bool = True) -> list[float]:
    """Run a chord of ours."""
    now = time.time()
    plan = Plan.of(chord([our_member.s(now) for _ in range(size)], our_body.s()))
    await start(plan, ours)
    if not waiting:
        return []
    while not await ours.result_backend.is_result_ready(plan.final):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    value: list[float] = (await ours.result_backend.get_result(plan.final)).return_value
    return value


def celery_chord_of(size: int, waiting: bool = True) -> list[float]:
    """Run a chord of Celery's."""
    now = time.time()
    sent = celery_chord([celery_member.s(now) for _ in range(size)], celery_body.s()).apply_async()
    return list(sent.get(timeout=300)) if waiting else []
