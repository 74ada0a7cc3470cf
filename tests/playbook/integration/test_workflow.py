"""Workflows on a real Redis: what the recorded cases of `playbook oracle` do not hold.

The tasks run in this process, in TaskIQ's own receiver. What happens when processes die is in
test_workflow_kills.py.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import pytest
from taskiq import AsyncBroker, Context, TaskiqDepends, TaskiqResult

from playbook.scaffold.worker import clients
from playbook.scaffold.worker.canvas import Signature, chain, chord, group
from playbook.scaffold.worker.context import current_task
from playbook.scaffold.worker.deadletters import DeadLetters
from playbook.scaffold.worker.errors import ChordError, Ignore, IgnoredError, Reject, TaskRevokedError
from playbook.scaffold.worker.sent import Handle
from playbook.scaffold.worker.streams import StreamBroker
from playbook.scaffold.worker.workflow import drawn, revoke, status
from tests.playbook.integration.scaffold import QUEUE, Site, our_broker, receiving, until

pytest_plugins = ("tests.playbook.integration.scaffold_fixtures",)
pytestmark = pytest.mark.integration


class Tasks:
    """Tasks of one broker; `ran` lists what they did."""

    def __init__(self, broker: AsyncBroker) -> None:
        self.ran: list[Any] = []

        async def note(*args: Any) -> Any:
            self.ran.append(args[-1])
            return args[-1]

        async def fail(*args: Any) -> None:
            self.ran.append(args[-1])
            raise ValueError(args[-1])

        async def end(error: Exception | None, what: str) -> None:
            self.ran.append(what)
            if error:
                raise error

        async def ignored(what: str) -> None:
            await end(Ignore(), what)

        async def rejected(what: str, requeue: bool) -> None:
            again = requeue and self.ran.count(what) > 0
            await end(None if again else Reject("not mine", requeue), what)

        async def grow(self_: Any, what: str) -> None:
            self.ran.append(what)
            raise self_.replace(chain(self.note.s("first"), self.note.s("second")))

        def make(name: str, function: Any, **options: Any) -> Any:
            return broker.task(name, **options)(function)

        self.note, self.fail = make("note", note), make("fail", fail)
        self.ignored, self.rejected = make("ignored", ignored), make("rejected", rejected)
        self.grow = make("grow", grow, bind=True)


@pytest.fixture
async def broker(site: Site, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StreamBroker]:
    """A broker whose client is used by workflows; its results live three seconds."""
    created = our_broker(site.server.url, result_ttl=3, queues=("default", "other"))
    monkeypatch.setattr(clients, "create_broker", lambda: our_broker(site.server.url, result_ttl=3))
    monkeypatch.setattr(clients, "_client", None)
    yield created
    await created.shutdown()


@pytest.fixture
def tasks(broker: StreamBroker) -> Tasks:
    """Tasks on it."""
    return Tasks(broker)


async def error_of(result: Handle) -> Any:
    """The error of a workflow."""
    return await result.aget(timeout=10, propagate=False)


async def stored(broker: StreamBroker, id: str) -> TaskiqResult[Any]:
    """The result that is stored under an id."""
    return await broker.result_backend.get_result(id)


async def test_a_workflow_can_be_looked_at_and_drawn(broker: StreamBroker, tasks: Tasks) -> None:
    last = tasks.note.s("last").set(task_id="last")
    sent = await (group(tasks.note.si(1), tasks.note.si(2)) | last).delay()
    assert sent.id == "last"
    before = await status(sent.id)
    assert sorted((step.name, step.state) for step in before) == [
        ("", "sent"),
        ("note", "sent"),
        ("note", "sent"),
        ("note", "waiting"),
    ]
    async with receiving(broker):
        assert await sent.aget(timeout=10) == "last"
    after = {step.id: step for step in await status(sent.id)}
    assert {step.state for step in after.values()} == {"done"}
    assert after["last"].next == ()
    assert [after[step.next[0]].name for step in after.values() if step.next] == ["note", "", ""]
    graph = drawn(list(after.values()))
    assert graph.count("->") == 3
    assert graph.count("palegreen") == 4
    assert await status("unknown") == []


async def test_a_revoked_workflow_ends_with_that(broker: StreamBroker, tasks: Tasks) -> None:
    sent = await chain(tasks.note.si(1), tasks.note.si(2)).delay()
    later = await tasks.note.si(3).apply_async(countdown=0.1)
    assert await revoke(sent.id) == 2
    assert await revoke(later.id) == 1
    async with receiving(broker):
        assert isinstance(await error_of(sent), TaskRevokedError)
        assert isinstance(await error_of(later), TaskRevokedError)
        await (await tasks.note.si(4).delay()).aget(timeout=10)
        await until(lambda: not broker.deliveries)
    assert tasks.ran == [4]
    assert {step.state for step in await status(sent.id)} == {"skipped"}


async def test_a_step_that_expires_ends_the_workflow(broker: StreamBroker, tasks: Tasks) -> None:
    past = datetime.now(UTC) - timedelta(minutes=1)
    body = tasks.note.s("body").on_error(tasks.note.si("errback"))
    late = tasks.note.si("late").set(expires=past).on_error(tasks.note.si("own errback"))
    async with receiving(broker):
        sent = await chord([late, tasks.note.si("other")], body).delay()
        assert (await error_of(sent)).args == ("expired",)
        await until(lambda: "errback" in tasks.ran)
    assert sorted(tasks.ran) == ["errback", "other"], (
        "its own error callbacks belong to a run that there was not"
    )


async def test_by_its_id_a_body_has_a_chord_error(broker: StreamBroker, tasks: Tasks) -> None:
    failing = tasks.fail.si("why").set(task_id="member")
    async with receiving(broker):
        sent = await chord([failing, tasks.note.si(1)], tasks.note.s("body").set(task_id="body")).delay()
        assert (await error_of(sent)).args == ("why",)
        await until(lambda: not broker.deliveries)
        found = await stored(broker, "body")
    assert isinstance(found.error, ChordError)
    assert found.error.args == ("Dependency member raised ValueError('why')",)
    assert isinstance(found.error.__cause__, ValueError)


async def test_ignored_and_rejected_steps_end_the_workflow(broker: StreamBroker, tasks: Tasks) -> None:
    async with receiving(broker):
        ignored = await chain(tasks.ignored.si("i"), tasks.note.si("never")).delay()
        assert isinstance(await error_of(ignored), IgnoredError)
        rejected = await chain(tasks.rejected.si("r", False), tasks.note.si("never")).delay()
        assert (await error_of(rejected)).args == ("not mine", False)
        again = await chain(tasks.rejected.si("a", True), tasks.note.si("end")).delay()
        assert await again.aget(timeout=10) == "end"
        letters = await DeadLetters(broker).list()
    assert tasks.ran == ["i", "r", "a", "a", "end"]
    assert [letter.reason for letter in letters] == ["the task rejected it: not mine"]


async def test_a_task_that_nobody_knows_ends_the_workflow(broker: StreamBroker, tasks: Tasks) -> None:
    unknown = chord([Signature("nowhere"), tasks.note.si(1)], tasks.note.s("body"))
    async with receiving(broker):
        sent = await unknown.apply_async(link_error=tasks.note.si("errback"))
        assert type(await error_of(sent)).__name__ == "NotRegistered"
        await until(lambda: "errback" in tasks.ran)
    assert "body" not in tasks.ran


async def test_a_replaced_task_without_a_workflow_becomes_one(broker: StreamBroker, tasks: Tasks) -> None:
    async with receiving(broker):
        sent = await tasks.grow.si("seed").delay()
        assert await sent.aget(timeout=10) == "second"
    assert tasks.ran == ["seed", "first", "second"]


async def test_members_go_to_their_queue_at_their_time(
    site: Site, broker: StreamBroker, tasks: Tasks
) -> None:
    near, far = tasks.note.si("near"), tasks.note.si("far").set(queue="other", countdown=0.3)
    sent = await chord([near, far], tasks.note.s("body").set(queue="other")).delay()
    assert site.redis.xlen(QUEUE) == 1
    assert site.redis.zcard("{taskiq}:delayed:other") == 1
    async with receiving(broker):
        assert await sent.aget(timeout=10) == "body"
    assert tasks.ran == ["near", "far", "body"]


async def test_nothing_is_left_when_all_has_expired(site: Site, broker: StreamBroker, tasks: Tasks) -> None:
    async with receiving(broker):
        for size in (0, 1, 30):
            body = tasks.note.s("b").on_error(tasks.note.si("errback"))
            members: list[Any] = [tasks.note.si(number) for number in range(size)]
            await (await chord(members, body).delay()).aget(timeout=10)
            await error_of(await chord([*members, tasks.fail.si("x")], body).delay())
        await until(lambda: not site.redis.xlen(QUEUE) and not broker.deliveries)
        kinds = ("result", "workflow")
        await until(lambda: not [k for k in site.redis.scan_iter("*") if k.split(":")[1] in kinds])


@pytest.mark.parametrize("canvas", ["priority", "no body", "empty body", "no json"])
async def test_what_cannot_be_run_is_refused_at_the_call(
    site: Site, broker: StreamBroker, tasks: Tasks, canvas: str
) -> None:
    one = tasks.note.si(1)
    refused: dict[str, Any] = {
        "priority": one.set(priority=3) | tasks.note.si(2),
        "no body": chord([one]),
        "empty body": chord([one], chain()),
        "no json": tasks.note.si(object()),
    }
    with pytest.raises(TypeError if canvas == "no json" else ValueError):
        await refused[canvas].delay()
    assert site.redis.keys("*") == []


async def test_parent_and_root_are_those_of_the_workflow(broker: StreamBroker) -> None:
    seen: dict[str, tuple[Any, Any]] = {}

    @broker.task("who")
    async def who(*args: Any) -> None:
        request = current_task.request
        seen[request.id] = (request.root_id, request.parent_id)
        await asyncio.sleep(0)

    def call(id: str) -> Signature:
        return Signature(who, options={"task_id": id}, immutable=True)

    async with receiving(broker):
        await (await chain(call("a"), chord([call("b")], call("c")), call("d")).delay()).aget(timeout=10)
    assert seen == {"a": ("a", None), "b": ("a", "a"), "c": ("a", "b"), "d": ("a", "c")}


async def test_native_tasks_get_their_arguments_as_they_were_sent(broker: StreamBroker) -> None:
    @broker.task("plain")
    async def plain(number: int, *, when: str = "") -> list[Any]:
        return [number, when]

    @broker.task("bound", bind=True)
    async def with_self(self: Any, number: int) -> list[Any]:
        return [self.request.task, number]

    @broker.task("injected")
    async def injected(number: int, context: Annotated[Context, TaskiqDepends()]) -> list[Any]:
        return [number, context.message.task_name]

    async with receiving(broker):
        for task, found in ((plain, ["5", ""]), (with_self, ["bound", "5"]), (injected, ["5", "injected"])):
            assert await (await task.si("5").delay()).aget(timeout=10) == found  # type: ignore[attr-defined]


async def test_a_step_whose_workflow_has_expired_is_a_dead_letter(
    site: Site, broker: StreamBroker, tasks: Tasks
) -> None:
    sent = await chain(tasks.note.si(1).set(task_id="first"), tasks.note.si(2)).delay()
    site.redis.delete(broker.keys.workflow(sent.id))
    async with receiving(broker):
        await until(lambda: site.redis.xlen(broker.keys.dead) == 1)
        (letter,) = await DeadLetters(broker).list()
        assert (await stored(broker, "first")).return_value == 1
    assert letter.reason == "its workflow has expired"
    assert tasks.ran == [1]
