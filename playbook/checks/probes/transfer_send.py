"""Send webhooks in every form, on one system, from the application's code: `transfer_send.py PLAN`.

PLAN is JSON: system, task, args, kwargs (each call gets an `event_id` of its own), flaky (arguments of calls
that fail at first), rounds (how often each form is sent), later (seconds until those are due that have a
countdown).

Prints {"events": [...]}, one for each task.
"""

import asyncio
import importlib
import itertools
import json
import sys
from collections.abc import Iterator
from typing import Any

PLAN = json.loads(sys.argv[1])
ON_CELERY = PLAN["system"] == "celery"

if ON_CELERY:
    import celery as canvases

    from reflector.worker import app as application  # noqa: F401 - makes Reflector's app the current one
else:
    from reflector.worker import workflow as canvases  # type: ignore[no-redef]

module, _, name = PLAN["task"].rpartition(".")
task = getattr(importlib.import_module(module), name)
numbers = itertools.count()
events: list[str] = []


def webhook(**other: Any) -> Any:
    """Return the signature of one webhook, with an event of its own."""
    events.append(f"{PLAN['system']}-{next(numbers)}")
    return task.si(*PLAN["args"], **{**PLAN["kwargs"], **other, "event_id": events[-1]})


def forms() -> Iterator[Any]:
    """Yield one canvas of each form."""
    yield webhook()
    yield webhook().set(countdown=PLAN["later"])
    yield webhook(**PLAN["flaky"])
    yield canvases.chain(webhook(), webhook(), webhook())
    header = [webhook(), canvases.chain(webhook(), webhook()), webhook().set(countdown=PLAN["later"])]
    yield canvases.chord(header, webhook()) | webhook()


async def main() -> None:
    """Send all."""
    for _ in range(PLAN["rounds"]):
        for canvas in forms():
            sent = canvas.apply_async()
            if not ON_CELERY:
                await sent


asyncio.run(main())
print(json.dumps({"events": events}))
