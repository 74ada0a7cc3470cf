"""What stock TaskIQ has instead of workflows, beside what ours do (traps T25 and T26).

Both run in TaskIQ's own receiver, in this process.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from taskiq import AsyncBroker, AsyncTaskiqTask, gather
from taskiq.exceptions import TaskiqResultTimeoutError
from taskiq_pipelines import Pipeline, PipelineMiddleware
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from playbook.scaffold.worker.canvas import chain, chord
from playbook.scaffold.worker.plans import Plan
from playbook.scaffold.worker.sent import outcome
from playbook.scaffold.worker.streams import StreamBroker
from playbook.scaffold.worker.workflow import start
from tests.playbook.integration.scaffold import Site, our_broker, receiving, until

pytest_plugins = ("tests.playbook.integration.scaffold_fixtures",)
pytestmark = pytest.mark.integration


class Tasks:
    """The same tasks on any broker; `ran` lists what they did."""

    def __init__(self, broker: AsyncBroker) -> None:
        self.ran: list[Any] = []

        async def step(*args: Any, name: str = "") -> Any:
            self.ran.append(name or args[-1])
            return name or args[-1]

        async def fail(*args: Any) -> None:
            self.ran.append("fail")
            raise ValueError("no")

        async def named(*, name: str) -> str:
            self.ran.append(name)
            return name

        async def unsendable(name: str) -> Any:
            self.ran.append(name)
            return object()

        self.step, self.fail = broker.task("step")(step), broker.task("fail")(fail)
        self.named, self.unsendable = broker.task("named")(named), broker.task("unsendable")(unsendable)


@pytest.fixture
async def stock(site: Site) -> AsyncIterator[RedisStreamBroker]:
    """taskiq-redis' stream broker with the middleware of taskiq-pipelines."""
    broker = RedisStreamBroker(site.server.url, consumer_id="0", xread_block=50, socket_timeout=None)
    broker.add_middlewares(PipelineMiddleware())
    yield broker.with_result_backend(RedisAsyncResultBackend(site.server.url))
    await broker.shutdown()


@pytest.fixture
async def ours(site: Site) -> AsyncIterator[StreamBroker]:
    """Our broker."""
    broker = our_broker(site.server.url)
    yield broker
    await broker.shutdown()


async def ended(broker: AsyncBroker, task_id: str) -> Any:
    """What a task returned, or its error."""
    task = AsyncTaskiqTask[Any](task_id, broker.result_backend)
    return outcome(await task.wait_result(check_interval=0.02, timeout=10), propagate=False)


async def test_t25_gather_goes_on_after_a_failure_and_waits_for_what_is_lost(
    stock: RedisStreamBroker,
) -> None:
    tasks = Tasks(stock)
    await stock.startup()
    lost = await tasks.step.kiq("lost")
    with pytest.raises(TaskiqResultTimeoutError):
        await gather(lost, timeout=0.3)
    async with receiving(stock):
        results = await gather(await tasks.fail.kiq(), await tasks.step.kiq("title"), timeout=10)
        # Nothing stops the caller, and nobody but the caller sends the callback.
        assert [result.is_err for result in results] == [True, False]
        await (await tasks.step.kiq("callback")).wait_result(timeout=10)
    assert tasks.ran[-1] == "callback"


async def test_t25_a_chord_is_stopped_by_a_failure_and_needs_no_caller(ours: StreamBroker) -> None:
    tasks = Tasks(ours)
    failing = Plan.of(chord([tasks.fail.si(), tasks.step.si("title")], tasks.step.si("callback")))
    good = Plan.of(chord([tasks.step.si("title")], tasks.step.si("other")))
    for plan in (failing, good):
        await start(plan, ours)
    async with receiving(ours):
        assert isinstance(await ended(ours, failing.final), ValueError)
        assert await ended(ours, good.final) == "other"
        await until(lambda: not ours.deliveries)
    assert "callback" not in tasks.ran


async def test_t26_pipelines_lose_errors_and_rests(stock: RedisStreamBroker) -> None:
    tasks = Tasks(stock)
    await stock.startup()
    async with receiving(stock):
        broken = Pipeline(stock, tasks.fail).call_next(tasks.step).call_next(tasks.step)
        last = await (await broken.kiq()).wait_result(timeout=10)
        assert isinstance(last.error, ValueError)
        between = broken.steps[1].task_id
        assert not await stock.result_backend.is_result_ready(between), "only the last id learns of the error"
        keyword = Pipeline(stock, tasks.step).call_next(tasks.named)
        assert isinstance((await (await keyword.kiq("x")).wait_result(timeout=10)).error, TypeError)


async def test_t26_a_chain_tells_every_id_and_a_result_that_cannot_be_sent(ours: StreamBroker) -> None:
    tasks = Tasks(ours)
    ids = ["first", "between", "last"]
    steps = [tasks.fail.si(), tasks.step.s(), tasks.step.s()]
    plans = [
        Plan.of(chain(*(step.set(task_id=id) for step, id in zip(steps, ids, strict=True)))),
        Plan.of(chain(tasks.unsendable.si("no json"), tasks.step.s().set(task_id="after"))),
        Plan.of(chain(tasks.step.si("x"), tasks.named.si(name="keyword"))),
    ]
    for plan in plans:
        await start(plan, ours)
    async with receiving(ours):
        assert {type(await ended(ours, id)) for id in ids} == {ValueError}
        assert isinstance(await ended(ours, "after"), TypeError)
        assert await ended(ours, plans[2].final) == "keyword"
