"""Countdown, eta and expiry are kept by Redis, to a fraction of a second (traps T22 and T24)."""

import asyncio
import contextlib
import datetime as dt
import time
from collections import Counter
from typing import Any

import pytest
from taskiq_redis import RedisStreamBroker

from playbook.scaffold.worker.context import current_task
from playbook.scaffold.worker.errors import TaskRevokedError
from playbook.scaffold.worker.messages import moment
from playbook.scaffold.worker.sending import send
from playbook.scaffold.worker.streams import StreamBroker
from tests.playbook.integration.scaffold import GROUP, QUEUE, Site, kick, our_broker, receiving, until

pytest_plugins = ("tests.playbook.integration.scaffold_fixtures",)
pytestmark = pytest.mark.integration
LATE = 1.0
"""Seconds; a beat is 0.2 s, the rest is for a busy machine."""


class Clock:
    """A broker with a task that notes when it ran."""

    def __init__(self, broker: StreamBroker) -> None:
        self.broker = broker
        self.runs: list[tuple[Any, float]] = []

        @broker.task("note")
        async def note(what: Any = None) -> None:
            self.runs.append((what, time.time()))

        self.task = note


@pytest.fixture
def clock(site: Site) -> Clock:
    return Clock(our_broker(site.server.url))


async def test_stock_ignores_a_delay(site: Site) -> None:
    broker = RedisStreamBroker(
        site.server.url,
        queue_name=QUEUE,
        consumer_group_name=GROUP,
        consumer_id="0",
        xread_block=50,
        socket_timeout=None,
    )
    ran = asyncio.Event()

    @broker.task("now")
    async def now() -> None:
        ran.set()

    async with receiving(broker):
        await kick(broker, "now", delay=60)
        await asyncio.wait_for(ran.wait(), 10)


@pytest.mark.parametrize("seconds", [0.15, 0.7])
async def test_a_countdown_is_kept(clock: Clock, seconds: float) -> None:
    async with receiving(clock.broker):
        asked = time.time()
        await send(clock.task, countdown=seconds)
        await until(lambda: clock.runs)
    assert seconds - 0.01 <= clock.runs[0][1] - asked < seconds + LATE


async def test_an_eta_is_kept_in_whatever_zone(clock: Clock) -> None:
    zones = [dt.UTC, dt.timezone(dt.timedelta(hours=5, minutes=30)), None]
    due = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.8)
    async with receiving(clock.broker):
        for zone in zones:
            eta = due.astimezone(zone) if zone else due.replace(tzinfo=None)
            await send(clock.task, [str(zone)], eta=eta)
        await until(lambda: len(clock.runs) == 3)
    assert all(-0.01 <= at - due.timestamp() < LATE for _, at in clock.runs)


async def test_what_is_due_already_runs_at_once(clock: Clock) -> None:
    async with receiving(clock.broker):
        await send(clock.task, ["past"], eta=dt.datetime(2001, 1, 1, tzinfo=dt.UTC))
        await send(clock.task, ["now"], countdown=0)
        await send(clock.task, ["negative"], countdown=-5)
        await until(lambda: len(clock.runs) == 3)


async def test_a_delay_outlives_sender_and_workers(site: Site, clock: Clock) -> None:
    sender = our_broker(site.server.url)
    await kick(sender, "note", "kept", countdown=0.3)
    await sender.shutdown()
    async with receiving(Clock(our_broker(site.server.url, queues=("other",))).broker):
        await until(lambda: time.time() * 1000 > site.redis.zscore("{taskiq}:delayed:default", one(site)))
    async with receiving(clock.broker):
        await until(lambda: [what for what, _ in clock.runs] == ["kept"])
    assert site.redis.exists("{taskiq}:delayed:default", "{taskiq}:payloads:default") == 0


def one(site: Site) -> Any:
    (token,) = site.redis.zrange("{taskiq}:delayed:default", 0, -1)
    return token


async def test_many_workers_move_a_message_once(site: Site) -> None:
    clocks = [Clock(our_broker(site.server.url)) for _ in range(4)]
    sender = our_broker(site.server.url)
    for number in range(300):
        await kick(sender, "note", number, countdown=number / 300)
    async with contextlib.AsyncExitStack() as stack:
        for clock in clocks:
            await stack.enter_async_context(receiving(clock.broker))
        await until(lambda: sum(len(clock.runs) for clock in clocks) >= 300)
        await until(lambda: site.redis.xlen(QUEUE) == 0)
    runs = Counter(what for clock in clocks for what, _ in clock.runs)
    assert runs == Counter(range(300))
    await sender.shutdown()


async def test_an_expired_task_is_not_run_and_its_caller_learns_it(clock: Clock) -> None:
    late = await send(clock.task, ["late"], expires=0.05)
    past = await send(clock.task, ["past"], expires=dt.datetime(2001, 1, 1, tzinfo=dt.UTC))
    after = await send(clock.task, ["never"], countdown=0.5, expires=0.2)
    await send(clock.task, ["in time"], expires=60)
    await asyncio.to_thread(time.sleep, 0.06)
    async with receiving(clock.broker):
        for task in (late, past, after):
            result = await task.wait_result(check_interval=0.02, timeout=10)
            assert isinstance(result.error, TaskRevokedError)
        await until(lambda: clock.runs)
    assert [what for what, _ in clock.runs] == ["in time"]


async def test_the_clocks_of_sender_and_worker_do_not_matter(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process believes that it is tomorrow; Redis knows better."""
    real = time.time
    async with receiving(clock.broker):
        with monkeypatch.context() as jump:
            jump.setattr(time, "time", lambda: real() + 86_400)
            asked = real()
            await send(clock.task, ["kept"], countdown=0.4, expires=60)
            await until(lambda: clock.runs)
    assert 0.39 <= clock.runs[0][1] - 86_400 - asked < 0.4 + LATE


async def test_the_task_sees_when_it_was_due(site: Site) -> None:
    broker = our_broker(site.server.url)
    seen: list[Any] = []

    @broker.task("look")
    async def look() -> None:
        seen.append(current_task.request)

    async with receiving(broker):
        await send(look, countdown=0.2, expires=60, queue="default", task_id="mine")
        await until(lambda: seen)
    (request,) = seen
    assert request.id == "mine"
    assert abs(dt.datetime.fromisoformat(request.eta).timestamp() - time.time()) < 5
    assert request.expires > request.eta
    assert request.delivery_info == {"routing_key": "default", "redelivered": False}
    assert request.hostname == broker.consumer_name


def test_moments() -> None:
    assert moment(None) == ""
    assert moment(1.5) == moment("1.5") == "+1500"
    assert moment(dt.datetime(1970, 1, 1, 0, 0, 2)) == moment("1970-01-01T00:00:02+00:00") == "2000"
    with pytest.raises(ValueError, match="soon"):
        moment("soon")
