"""What the tests of routing do in a process of their own: `routing_probe.py SCENARIO`. Prints JSON."""

import asyncio
import json
import os
import sys
import threading
import time
from typing import Any

import routed_tasks as tasks
from celery import chord, group

from playbook.scaffold.worker.flags import flags
from playbook.scaffold.worker.handles import Handle, ResultTimeoutError
from playbook.scaffold.worker.routing import (
    dispatch,
    dispatch_apply,
    dispatch_apply_sync,
    dispatch_sync,
)

WAIT = 20.0
HEEDED = 1.0
"""Seconds after which a live route counts."""


async def both() -> Any:
    """The same calls and the same questions on each system."""
    found = {}
    for system in ("celery", "taskiq"):
        flags.set(system)
        await asyncio.sleep(HEEDED)
        handle = await dispatch(tasks.work, "a", again=1)
        delayed = await dispatch_apply(
            tasks.work, ("b",), {"again": 2}, countdown=0.2, task_id=f"my-{system}"
        )
        failing = await dispatch(tasks.fail, "no")
        found[system] = {
            "value": await handle.aget(WAIT),
            "ready": [await handle.aready(), handle.ready()],
            "state": [handle.state, handle.successful(), handle.result],
            "delayed": [delayed.id, delayed.get(WAIT)],
            "error": repr(await failing.aget(WAIT, propagate=False)),
            "failed": [failing.state, failing.failed()],
            "raises": await _raises(failing),
            "later": await Handle(delayed.id).aget(WAIT),
            "later_sync": [Handle(delayed.id).get(WAIT), Handle(failing.id).state],
            "pending": [Handle("nobody").ready(), Handle("nobody").state],
            "bound": (await (await dispatch(tasks.bound, "c")).aget(WAIT))[::3],
            "signature": (await (await dispatch(tasks.work.s("d").set(countdown=0.1), 7)).aget(WAIT))[::2],
            "untwinned": await (await dispatch(tasks.untwinned, "e")).aget(WAIT),
            "timeout": await _times_out(),
            "mistake": await _mistake(),
        }
    return found


async def _raises(handle: Handle) -> str:
    try:
        await handle.aget(WAIT)
    except Exception as error:
        return repr(error)
    return ""


async def _times_out() -> list[bool]:
    handle = await dispatch_apply(tasks.work, ("late",), countdown=3600)
    try:
        await handle.aget(timeout=0.3)
    except ResultTimeoutError as error:
        return [isinstance(error, TimeoutError), handle.ready()]
    return []


async def _mistake() -> str:
    try:
        await dispatch(tasks.work, 1, 2, 3, 4)
    except TypeError as error:
        return type(error).__name__
    return ""


async def options() -> Any:
    """Calls that TaskIQ cannot keep, and where they went."""
    canvas = await dispatch(tasks.work.si("first") | tasks.work.s())
    linked = await dispatch_apply(tasks.work, ("linked",), link=tasks.work.s())
    urgent = await dispatch_apply(tasks.work, ("urgent",), priority=3)
    queued = await dispatch_apply(tasks.work, ("queued",), queue="celery")
    other = await dispatch_apply(tasks.work, ("other",), queue="other")
    both = group(tasks.work.si("one"), tasks.work.si("two"))
    grouped = await dispatch(both)
    return {
        "canvas": await canvas.aget(WAIT),
        "group": [await grouped.aget(WAIT), grouped.state, grouped.ready()],
        "chord": (await (await dispatch(chord(both, tasks.work.s(again=5)))).aget(WAIT))[1:],
        "linked": await linked.aget(WAIT),
        "urgent": await urgent.aget(WAIT),
        "queued": await queued.aget(WAIT),
        "elsewhere": tasks.redis.llen("other"),
        "other": other.state,
    }


def threads() -> Any:
    """dispatch_sync without a loop, in threads, below a loop, directly in a loop, after a fork."""
    found = {"no loop": [dispatch_sync(tasks.work, "plain").get(WAIT)[1] for _ in range(3)]}

    def in_thread() -> str:
        return dispatch_sync(tasks.work, "thread").get(WAIT)[1]

    async def in_loop() -> dict[str, Any]:
        ticks, stop = [], asyncio.Event()

        async def tick() -> None:
            while not stop.is_set():
                ticks.append(time.monotonic())
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        values = await asyncio.gather(*(asyncio.to_thread(in_thread) for _ in range(5)))
        stop.set()
        await ticking
        return {"below a loop": values, "loop went on": len(ticks) > 1, "directly": in_thread()}

    for _ in range(3):
        found |= asyncio.run(in_loop())
    workers = [threading.Thread(target=in_thread) for _ in range(5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(WAIT)
    found["threads left"] = sum(worker.is_alive() for worker in workers)
    for _ in range(3):
        found["new loops"] = asyncio.run(_one())
    child = os.fork()
    if child == 0:
        os._exit(0 if in_thread() == "taskiq" else 1)
    found["forked child"] = os.waitpid(child, 0)[1]
    return found


async def _one() -> Any:
    return (await (await dispatch(tasks.work, "loop")).aget(WAIT))[1]


def nested() -> Any:
    """Tasks that send tasks, from workers of both systems, and who is whose parent."""
    found = {}
    for system, other in (("celery", "taskiq"), ("taskiq", "celery")):
        flags.set(system, "routed_tasks.parent")
        flags.set(other, "routed_tasks.lineage")
        time.sleep(HEEDED)
        handle = dispatch_sync(tasks.parent, 3)
        children = [Handle(child).get(WAIT) for child in handle.get(WAIT)]
        found[system] = [[ran, root == handle.id, parent == handle.id] for ran, root, parent in children]
    flags.set("taskiq", "routed_tasks.waits")
    time.sleep(HEEDED)
    found["waits in a thread"] = dispatch_sync(tasks.waits).get(WAIT)
    flags.set("celery", "routed_tasks.waits")
    time.sleep(HEEDED)
    found["waits in Celery"] = repr(dispatch_sync(tasks.waits).get(WAIT, propagate=False))
    return found


def flip() -> Any:
    """Send many while the flag flips, and say how many different ids they have."""
    count, sent = int(sys.argv[2]), []
    stop = threading.Event()

    def flipping() -> None:
        route = 0
        while not stop.wait(0.2):
            route = 100 - route
            flags.set(str(route))

    flipper = threading.Thread(target=flipping)
    flipper.start()
    started = time.monotonic()
    for number in range(count):
        # Spread over at least so many seconds that every route has its turn.
        pause = number * float(sys.argv[3]) / count - (time.monotonic() - started)
        time.sleep(max(0.0, pause))
        sent.append(dispatch_apply_sync(tasks.work, (str(number),), {"seconds": 0.02}).id)
    stop.set()
    flipper.join()
    return len(set(sent))


if __name__ == "__main__":
    scenario = globals()[sys.argv[1]]
    answer = asyncio.run(scenario()) if asyncio.iscoroutinefunction(scenario) else scenario()
    print(json.dumps(answer))
