"""The stream broker keeps what the stock one loses, and leaves nothing behind (traps T1, T9 to T12)."""

import asyncio
import contextlib
import subprocess
import sys
from typing import Any

import pytest
from redis.exceptions import ResponseError
from taskiq import AckableMessage, AsyncTaskiqTask, TaskiqMessage, TaskiqMiddleware
from taskiq.exceptions import SendTaskError
from taskiq.message import BrokerMessage
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from playbook.lab.surroundings import child_env
from playbook.scaffold.worker.deadletters import DeadLetters
from playbook.scaffold.worker.errors import MessageRejectedError, NotRegistered
from playbook.scaffold.worker.reader import Reader
from playbook.scaffold.worker.streams import StreamBroker
from tests.playbook.integration.scaffold import (
    GROUP,
    QUEUE,
    Site,
    kick,
    our_broker,
    receiving,
    until,
)

pytest_plugins = ("tests.playbook.integration.scaffold_fixtures",)
pytestmark = pytest.mark.integration
BLOCK_MS = 50


def stock(site: Site, **options: Any) -> RedisStreamBroker:
    broker = RedisStreamBroker(
        site.server.url,
        queue_name=QUEUE,
        consumer_group_name=GROUP,
        xread_block=BLOCK_MS,
        socket_timeout=None,
        **options,
    )
    broker.with_result_backend(RedisAsyncResultBackend(site.server.url))
    return broker


def message(number: int) -> BrokerMessage:
    return BrokerMessage(task_id=str(number), task_name="t", message=str(number).encode(), labels={})


async def received(broker: RedisStreamBroker, count: int, within: float) -> list[AckableMessage]:
    """Up to `count` messages; fewer if no more come within so many seconds."""
    found: list[AckableMessage] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            async for item in broker.listen():
                found.append(item)
                if len(found) == count:
                    break
    return found


def collecting(broker: Any) -> list[Any]:
    """Register a task `collect` that keeps what it gets."""
    found: list[Any] = []

    @broker.task("collect")
    async def collect(value: Any) -> Any:
        found.append(value)
        return value

    return found


async def failed(task: AsyncTaskiqTask[Any]) -> BaseException:
    result = await task.wait_result(check_interval=0.02, timeout=10)
    assert result.is_err
    assert result.error is not None
    return result.error


async def test_stock_loses_what_is_sent_before_the_first_worker(site: Site) -> None:
    broker = stock(site)
    for number in range(5):
        await broker.kick(message(number))
    await broker.startup()
    assert await received(broker, 5, within=0.5) == []
    await broker.shutdown()


async def test_what_is_sent_before_the_first_worker_is_run(site: Site) -> None:
    broker = our_broker(site.server.url)
    found = collecting(broker)
    for number in range(5):
        await kick(broker, "collect", number)
    async with receiving(broker, slots=1):
        await until(lambda: len(found) == 5)
    assert found == [0, 1, 2, 3, 4]


async def test_stock_keeps_acknowledged_entries(site: Site) -> None:
    broker = stock(site)
    await broker.startup()
    for number in range(3):
        await broker.kick(message(number))
    for item in await received(broker, 3, within=5):
        await item.ack()  # type: ignore[misc]
    assert site.redis.xlen(QUEUE) == 3
    await broker.shutdown()


async def test_a_finished_task_leaves_its_result_only(site: Site) -> None:
    broker = our_broker(site.server.url)
    collecting(broker)
    task = await kick(broker, "collect", "x")
    async with receiving(broker):
        assert (await task.wait_result(check_interval=0.02, timeout=10)).return_value == "x"
        assert site.redis.xlen(QUEUE) == 0
        assert site.redis.xpending(QUEUE, GROUP)["pending"] == 0
        assert 0 < site.redis.ttl(f"{{taskiq}}:result:{task.task_id}") <= 86_400


async def test_a_worker_survives_a_redis_that_comes_back_empty(site: Site) -> None:
    broker = our_broker(site.server.url)
    found = collecting(broker)
    async with receiving(broker):
        await kick(broker, "collect", 1)
        await until(lambda: found == [1])
        site.redis.flushall()
        site.redis.script_flush()
        await kick(broker, "collect", 2)
        await until(lambda: found == [1, 2])


async def test_an_unknown_task_is_a_dead_letter_and_its_caller_learns_it(site: Site) -> None:
    silent = stock(site, consumer_id="0")
    async with receiving(silent):
        task = await kick(silent, "nobody.knows", 1)
        await until(lambda: site.redis.xinfo_groups(QUEUE)[0]["last-delivered-id"] != "0-0")
        await until(lambda: site.redis.xpending(QUEUE, GROUP)["pending"] == 0)
        assert not await task.is_ready()
    site.redis.flushall()

    broker = our_broker(site.server.url)
    async with receiving(broker):
        task = await kick(broker, "nobody.knows", 1)
        error = await failed(task)
        assert isinstance(error, NotRegistered)
        assert "nobody.knows" in str(error)
        (letter,) = await DeadLetters(broker).list()
    assert letter.task_id == task.task_id
    assert "nobody.knows" in letter.reason


async def test_a_dead_letter_can_be_sent_again_or_deleted(site: Site) -> None:
    broker = our_broker(site.server.url)
    letters = DeadLetters(broker)
    async with receiving(broker):
        await failed(await kick(broker, "collect", "late"))
        await failed(await kick(broker, "never.there", 0))
        found = collecting(broker)
        first, second = await letters.list()
        assert await letters.replay(first.entry_id)
        assert not await letters.replay(first.entry_id)
        await until(lambda: found == ["late"])
        assert await letters.delete(second.entry_id)
        assert await letters.count() == 0


@pytest.mark.parametrize(
    "fields",
    [{"foo": "bar"}, {"id": "i", "data": "no json"}, {"data": '{"task_id": 1}'}, {"data": b"\xff"}],
    ids=["foreign", "no JSON", "no message", "no text"],
)
async def test_what_cannot_be_parsed_is_put_aside(site: Site, fields: dict[str, Any]) -> None:
    broker = our_broker(site.server.url)
    found = collecting(broker)
    site.redis.xadd(QUEUE, fields)
    async with receiving(broker):
        await kick(broker, "collect", "after")
        await until(lambda: found == ["after"])
        (letter,) = await DeadLetters(broker).list()
        assert letter.queue == "default"
        assert letter.reason
    assert site.redis.xlen(QUEUE) == 0


async def test_stock_ends_on_an_entry_without_data(site: Site) -> None:
    broker = stock(site)
    await broker.startup()
    site.redis.xadd(QUEUE, {"foo": "bar"})
    with pytest.raises(KeyError):
        await received(broker, 1, within=5)
    await broker.shutdown()


async def test_the_sender_of_a_malformed_message_learns_it(site: Site) -> None:
    broker = our_broker(site.server.url)
    site.redis.xadd(QUEUE, {"id": "i", "data": "no json"})
    async with receiving(broker):
        assert isinstance(await failed(AsyncTaskiqTask("i", broker.result_backend)), MessageRejectedError)


class Unparsable:
    """A type whose parsing fails with what TaskIQ does not expect."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        raise LookupError("no such schema")


class Failing(TaskiqMiddleware):
    """Fails where TaskIQ catches nothing."""

    def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
        raise LookupError("no such thing")


def unparsable(broker: Any) -> None:
    async def task(value: Unparsable) -> Any:
        return value

    task.__annotations__ = {"value": Unparsable}
    broker.register_task(task, "unparsable")


async def test_an_error_while_parsing_arguments_ends_the_task(site: Site) -> None:
    """T11: TaskIQ catches ValueError and RuntimeError there; the rest leaves the message pending for ever."""
    hanging = stock(site, consumer_id="0")
    unparsable(hanging)
    async with receiving(hanging):
        task = await kick(hanging, "unparsable", 1)
        await until(lambda: site.redis.xpending(QUEUE, GROUP)["pending"] == 1)
        with contextlib.suppress(Exception):
            await task.wait_result(check_interval=0.02, timeout=0.5)
        assert not await task.is_ready()
    site.redis.flushall()

    # Ours converts no arguments. What else goes wrong before the task runs ends it, too.
    broker = our_broker(site.server.url)
    unparsable(broker)
    async with receiving(broker):
        task = await kick(broker, "unparsable", 1)
        assert (await task.wait_result(check_interval=0.02, timeout=10)).return_value == 1
        broker.add_middlewares(Failing())
        assert isinstance(await failed(await kick(broker, "unparsable", 1)), LookupError)
        (letter,) = await DeadLetters(broker).list()
        assert "LookupError" in letter.reason
    assert site.redis.xlen(QUEUE) == 0


async def test_an_entry_that_was_trimmed_in_flight_does_no_harm(site: Site) -> None:
    """T9: the worker that had read it dies; what is left is an id without fields."""
    broker = our_broker(site.server.url)
    found = collecting(broker)
    site.redis.xgroup_create(QUEUE, GROUP, id="0", mkstream=True)
    id = site.redis.xadd(QUEUE, {"id": "gone", "data": "{}"})
    site.redis.xreadgroup(GROUP, "dead", {QUEUE: ">"})
    site.redis.zadd("{taskiq}:workers:default", {"dead": 1})
    site.redis.xdel(QUEUE, id)
    async with receiving(broker):
        await until(lambda: site.redis.xlen("{taskiq}:dead") == 1)
        await kick(broker, "collect", "after")
        await until(lambda: found == ["after"])
        assert "trimmed" in (await DeadLetters(broker).list())[0].reason


async def test_a_clock_that_was_set_back_does_not_keep_the_dead_alive(site: Site) -> None:
    """What Redis holds after its clock went back by an hour: a lease, a silence and a beat of the future."""
    broker = our_broker(site.server.url, lease=1.0)
    found = collecting(broker)
    await kick(broker, "collect", "x")
    site.redis.xgroup_create(QUEUE, GROUP, id="0")
    site.redis.xreadgroup(GROUP, "dead", {QUEUE: ">"})
    future = (site.redis.time()[0] + 3600) * 1000
    site.redis.zadd("{taskiq}:workers:default", {"dead": future})
    site.redis.hset("{taskiq}:watch:default", mapping={"last": future, "quiet": future})
    async with receiving(broker):
        await until(lambda: found == ["x"])


async def test_what_is_finished_while_a_worker_recovers_does_not_run_again(site: Site) -> None:
    """After an outage a worker asks what it holds; before the answer comes, it writes an outcome."""
    broker = our_broker(site.server.url)
    await kick(broker, "tests.note", "x")
    for stream in (QUEUE, broker.keys.suspects("default")):
        site.redis.xgroup_create(stream, GROUP, id="0", mkstream=True)
    site.redis.xreadgroup(GROUP, "worker", {QUEUE: ">"})
    ((_, ((id, _),)),) = site.redis.xreadgroup(GROUP, "worker", {QUEUE: "0"})
    running: dict[str, Any] = {f"{QUEUE} {id}": None}

    class Slow:
        async def xreadgroup(self, *args: Any, **options: Any) -> Any:
            answer = await broker.redis.xreadgroup(*args, **options)
            running.clear()
            return answer

    async def declare() -> None: ...

    reader = Reader(Slow(), broker.keys, broker.queues, "worker", declare)
    reader._answer_lost = True
    assert await reader.fetch(running, suspects=False) == []
    reader._answer_lost = True
    assert [entry.id for entry in await reader.fetch(running, suspects=False)] == [id]
    await broker.shutdown()


async def test_several_queues(site: Site) -> None:
    both = our_broker(site.server.url, queues=("high", "low"))
    found = collecting(both)
    await kick(both, "collect", "first queue")
    await kick(both, "collect", "low", queue_name="low")
    await kick(both, "collect", "elsewhere", queue_name="elsewhere")
    async with receiving(both):
        await until(lambda: len(found) == 2)
    assert set(found) == {"first queue", "low"}
    assert site.redis.xlen("{taskiq}:queue:elsewhere") == 1


async def test_a_result_that_json_cannot_express_is_an_error(site: Site) -> None:
    broker: StreamBroker = our_broker(site.server.url)

    @broker.task("odd")
    async def odd() -> Any:
        return {1, 2}

    async with receiving(broker):
        assert isinstance(await failed(await kick(broker, "odd")), TypeError)


async def test_nothing_is_written_for_a_task_that_others_have_taken_over(site: Site) -> None:
    broker = our_broker(site.server.url)
    started = asyncio.Event()
    go_on = asyncio.Event()

    @broker.task("held")
    async def held() -> str:
        started.set()
        await go_on.wait()
        return "late"

    async with receiving(broker):
        task = await kick(broker, "held")
        await started.wait()
        ((entry, _),) = site.redis.xrange(QUEUE)
        site.redis.xack(QUEUE, GROUP, entry)
        go_on.set()
        await until(lambda: not broker.deliveries)
        assert not await task.is_ready()


async def test_a_redis_that_takes_no_writes_for_a_while(site: Site) -> None:
    """As with a full disk or missing replicas: the outcome is written afterwards, and reading goes on."""
    broker = our_broker(site.server.url)
    started, go_on = asyncio.Event(), asyncio.Event()

    @broker.task("held")
    async def held() -> str:
        started.set()
        await go_on.wait()
        return "kept"

    async with receiving(broker):
        task = await kick(broker, "held")
        await asyncio.wait_for(started.wait(), 10)
        site.redis.config_set("min-replicas-to-write", 1)
        try:
            go_on.set()
            with pytest.raises(SendTaskError):
                await kick(broker, "held")
            assert not await task.is_ready()
        finally:
            site.redis.config_set("min-replicas-to-write", 0)
        for sent in (task, await kick(broker, "held")):
            assert (await sent.wait_result(check_interval=0.02, timeout=10)).return_value == "kept"


def deadletters(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "playbook.scaffold.worker.deadletters", *arguments]
    env = child_env(variables={"CELERY_BROKER_URL": url})
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)


async def test_dead_letters_on_the_command_line(site: Site) -> None:
    broker = our_broker(site.server.url)
    async with receiving(broker):
        await failed(await kick(broker, "nobody.knows"))
    listed = await asyncio.to_thread(deadletters, site.server.url, "list")
    entry = listed.stdout.split()[0]
    assert "nobody.knows" in listed.stdout
    assert listed.returncode == 0
    assert (await asyncio.to_thread(deadletters, site.server.url, "replay", entry)).returncode == 0
    assert site.redis.xlen(QUEUE) == 1
    again = await asyncio.to_thread(deadletters, site.server.url, "delete", entry)
    assert (again.returncode, again.stdout) == (1, "")
    assert entry in again.stderr
    wrong = await asyncio.to_thread(deadletters, site.server.url, "replay", "no-id")
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr
    away = await asyncio.to_thread(deadletters, "redis://127.0.0.1:1/0", "list")
    assert away.returncode == 1
    assert "Traceback" not in away.stderr


def test_a_cluster_needs_a_hash_tag() -> None:
    with pytest.raises(ValueError, match="hash tag"):
        our_broker("redis+cluster://localhost:1", prefix="plain")


@pytest.mark.parametrize("options", [{"queues": ()}, {"queues": ("a", "")}, {"lease": 0}, {"result_ttl": 0}])
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        our_broker("redis://localhost:1", **options)


async def test_a_receiver_may_listen_again(site: Site) -> None:
    """As taskiq's `run_receiver_task` does after an error; the time to stop is not running then."""
    broker = our_broker(site.server.url, stop_timeout=0.5)
    found = collecting(broker)
    listening = broker.listen()
    await kick(broker, "collect", 1)
    await anext(listening)
    await listening.aclose()  # type: ignore[attr-defined]
    broker.deliveries.clear()
    async with receiving(broker):
        await until(lambda: broker._keeper is not None and broker._keeper._deadline is None)
        await kick(broker, "collect", 2)
        await until(lambda: 2 in found)


def test_a_foreign_group_error_is_not_swallowed(site: Site) -> None:
    broker = our_broker(site.server.url)
    site.redis.set(QUEUE, "no stream")

    async def listen() -> None:
        await broker.startup()
        async for _ in broker.listen():
            raise AssertionError("there is nothing to read")

    with pytest.raises(ResponseError, match="WRONGTYPE"):
        asyncio.run(asyncio.wait_for(listen(), 20))


async def test_what_is_read_ahead_and_cannot_start_goes_to_others(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reader, "_look_ahead", lambda self: 10)
    one, other = (our_broker(site.server.url) for _ in range(2))
    ran, go_on = list[str](), asyncio.Event()

    async def run(what: str) -> None:
        ran.append(what)
        if what == "long":
            await go_on.wait()

    for broker in (one, other):
        broker.task("run")(run)
    shorts = [f"short {number}" for number in range(10)]
    for what in ("long", *shorts):
        await kick(one, "run", what)
    async with receiving(one, slots=1):
        await until(lambda: ran == ["long"])
        await until(lambda: site.redis.xpending(QUEUE, GROUP)["pending"] == 1)
        async with receiving(other, slots=1):
            await until(lambda: len(ran) == 11)
        go_on.set()
        await until(lambda: site.redis.xlen(QUEUE) == 0)
    assert sorted(ran) == sorted(["long", *shorts])
