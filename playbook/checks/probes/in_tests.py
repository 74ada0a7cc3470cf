"""The guide's claims about tests, tried in the migrated Reflector under ENVIRONMENT=pytest and on SQLite."""

import asyncio
import functools
import json
import os
import threading
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import patch

os.environ["ENVIRONMENT"] = "pytest"

from reflector.worker.broker import broker
from reflector.worker.dependencies import Session
from taskiq import InMemoryBroker

from reflector import db
from reflector.asynctask import asynctask
from reflector.db import get_session
from reflector.db.rooms import rooms_controller
from reflector.worker.session_decorator import with_session

Facts = dict[str, Any]


async def stored(name: str) -> bool:
    """Whether a session of its own finds a room of this name."""
    async with db.get_session_context() as session:
        return await rooms_controller.get_by_name(session, name) is not None


async def in_place(facts: Facts) -> None:
    """When a task runs, and what becomes of its error."""
    ran: list[str] = []

    async def succeed(word: str) -> str:
        ran.append(word)
        return word

    async def fail() -> None:
        raise ValueError("no")

    sent = await broker.register_task(succeed, task_name="succeed").kiq("OK")
    facts["ran_before_kiq_returned"] = ran == ["OK"]
    facts["output"] = (await sent.wait_result()).return_value
    try:
        result = await (await broker.register_task(fail, task_name="fail").kiq()).wait_result()
        facts["error_reaches"] = "result" if result.is_err else "nobody"
    except ValueError:
        facts["error_reaches"] = "caller"


async def transactions(facts: Facts) -> None:
    """What a task's session sees of the test's, and the test's of the task's."""

    async def look(name: str, leave: str) -> bool:
        async for session in db.get_session():
            found = await rooms_controller.get_by_name(session, name) is not None
            await rooms_controller.add(session, leave)
        return found

    task = broker.register_task(look, task_name="look")
    async with db.get_session_context() as session:
        await rooms_controller.add(session, "committed")
    facts["task_sees_committed"] = (await (await task.kiq("committed", "left")).wait_result()).return_value
    facts["test_sees_what_the_task_wrote"] = await stored("left")

    async def only_look(name: str) -> bool:
        async with db.get_session_context() as session:
            return await rooms_controller.get_by_name(session, name) is not None

    task = broker.register_task(only_look, task_name="only_look")
    async with db.get_session_context() as session:
        await rooms_controller.add(session, "open")
        facts["task_sees_uncommitted"] = (await (await task.kiq("open")).wait_result()).return_value


async def mocking(facts: Facts) -> None:
    """Which ways of asking for a session a test's replacement of `reflector.db.get_session` reaches."""

    async def by_attribute() -> int:
        async for session in db.get_session():
            return id(session)
        return 0

    async def by_imported_name() -> int:
        async for session in get_session():
            return id(session)
        return 0

    async def by_factory() -> int:
        async with db.get_session_factory()() as session:
            return id(session)

    @with_session
    async def by_decorator(session: Any) -> int:
        return id(session)

    async with db.get_session_factory()() as test_session:

        async def replacement() -> AsyncIterator[Any]:
            yield test_session

        with patch("reflector.db.get_session", replacement):
            for function in (by_attribute, by_imported_name, by_factory, by_decorator):
                task = broker.register_task(function, task_name=f"mock.{function.__name__}")
                result = await (await task.kiq()).wait_result()
                facts[f"mock_reaches_{function.__name__.removesuffix('__taskiq_original')}"] = (
                    result.return_value == id(test_session)
                )


async def approaches(facts: Facts) -> None:
    """The guide's three ways to a session: does the task run, and is its write committed?"""

    @with_session
    async def decorated(session: Any, *, name: str) -> None:
        await rooms_controller.add(session, name)

    async def looping(name: str) -> None:
        async for session in get_session():
            await rooms_controller.add(session, name)

    async def looping_and_returning(name: str) -> str:
        async for session in get_session():
            await rooms_controller.add(session, name)
            return name
        return ""

    async def injected(name: str, session: Session) -> None:
        await rooms_controller.add(session, name)

    for function in (decorated, looping, looping_and_returning, injected):
        name = function.__name__
        task = broker.register_task(function, task_name=f"approach.{name}")
        result = await (await task.kiq(name=name)).wait_result()
        facts[f"{name}_commits"] = not result.is_err and await stored(name)


async def arguments(facts: Facts) -> None:
    """What a positional argument becomes under a decorator that injects the session."""

    def stock_with_session(function: Any) -> Any:
        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            return await function(None, *args, **kwargs)

        return wrapper

    async def echo(session: Any, number: int, code: str) -> list[Any]:
        return [number, code]

    stock = InMemoryBroker(await_inplace=True)
    for label, decorate in (("stock", stock_with_session), ("migrated", with_session)):
        if label == "migrated":
            stock.decorator_class = broker.decorator_class
        task = stock.register_task(decorate(echo), task_name=f"echo.{label}")
        result = await (await task.kiq(1, "007")).wait_result()
        facts[f"positional_{label}"] = result.return_value


async def loop_bridge(facts: Facts) -> None:
    """Where a task runs with and without the loop bridge."""

    async def thread() -> int:
        return threading.get_ident()

    here = threading.get_ident()
    for label, function in (("bridged", asynctask(thread)), ("native", thread)):
        result = await (await broker.register_task(function, task_name=label).kiq()).wait_result()
        facts[f"{label}_runs_in_the_loop"] = result.return_value == here


async def fixture(facts: Facts) -> None:
    """The guide's test fixture, its names corrected: which broker does `task.kiq` use?"""
    production, replacement = InMemoryBroker(await_inplace=True), InMemoryBroker(await_inplace=True)
    task = production.register_task(lambda: 1, task_name="one")
    for name, registered in production.local_task_registry.items():
        replacement.register_task(registered.original_func, task_name=name)
    sent = await task.kiq()
    facts["fixture_redirects_kiq"] = await replacement.result_backend.is_result_ready(sent.task_id)


async def main() -> Facts:
    """Run all, each on fresh facts."""
    facts: Facts = {"broker": type(broker).__name__}
    await db.create_all()
    for probe in (in_place, transactions, mocking, approaches, arguments, loop_bridge, fixture):
        await probe(facts)
    return facts


print(json.dumps(asyncio.run(main())))
