"""Routing where tasks run in place (ENVIRONMENT=pytest), without any Redis. Prints JSON."""

import asyncio
import json
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from celery import Celery
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from playbook.scaffold.worker.routing import (
    dispatch,
    dispatch_after_commit,
    dispatch_apply_sync,
    dispatch_sync,
)
from playbook.scaffold.worker.twins import twin

app = Celery("inplace", broker="memory://", backend="cache+memory://")
app.set_default()
ran: list[Any] = []


def asynchronous(function: Any) -> Any:
    """A loop bridge, as applications write them."""

    def wrapper(*args: Any) -> Any:
        return asyncio.run(function(*args))

    wrapper.__wrapped__ = function  # type: ignore[attr-defined]
    wrapper.__name__ = function.__name__
    return wrapper


@app.task(name="leaf")
@asynchronous
async def leaf(value: int) -> int:
    ran.append(value)
    return value


@app.task(name="nest")
@asynchronous
async def nest(depth: int) -> Any:
    """Synchronous code in an async task sends a task that is run in place, and so on."""
    return dispatch_sync(nest, depth - 1).get(5) if depth else dispatch_sync(leaf, 7).get(5)


@app.task(name="where")
@asynchronous
async def where() -> bool:
    return threading.current_thread() is threading.main_thread()


@app.task(name="fails")
def fails() -> None:
    raise ValueError("no")


for task in (leaf, nest, where, fails):
    twin(task, task.name)


async def main() -> dict[str, Any]:
    failed = await dispatch(fails)
    found = {
        "in place": [await (await dispatch(leaf, 1)).aget(), ran == [1]],
        "in the caller's loop": await (await dispatch(where)).aget(),
        "below the loop": dispatch_sync(leaf, 2).get(),
        "in a thread": (await asyncio.to_thread(dispatch_sync, leaf, 3)).get(),
        "nested": await (await dispatch(nest, 3)).aget(),
        "with options": dispatch_apply_sync(leaf, (4,), countdown=0).get(),
        "error": repr(failed.get(propagate=False)),
    }
    ran.clear()
    with TemporaryDirectory() as folder:
        engine = create_async_engine(f"sqlite+aiosqlite:///{Path(folder, 'db')}")
        async with AsyncSession(engine) as session:
            await session.execute(text("create table rows (name text)"))
            handle = dispatch_after_commit(session, leaf, 5)
            found["before the commit"] = list(ran)
            await session.commit()
            found["after the commit"] = [list(ran), await handle.aget()]
        await engine.dispose()
    return found


if __name__ == "__main__":
    answer = asyncio.run(main())
    answer["without a loop"] = dispatch_sync(leaf, 6).get()
    print(json.dumps(answer))
