"""Call one task again and again at a steady rate, with the route in motion: `flood.py PLAN`.

PLAN is JSON: task, args, kwargs (the number of the call is added as `event_id`), calls, seconds (that they
are spread over), every (seconds between two flips), after (calls while the route stands at TaskIQ, and again
after it has gone back to Celery).

Prints {"ids": in the order of the calls, "flips": how many, "back_at": Unix time at which the route went
back, "back": number of the first call after that}.
"""

import asyncio
import importlib
import json
import sys
import time
from typing import Any

from reflector.worker.flags import flags
from reflector.worker.routing import dispatch

from reflector.worker import app as celery  # noqa: F401 - makes Reflector's app the current one

PLAN = json.loads(sys.argv[1])


class Flood:
    """Sends at a steady rate; remembers which call got which id."""

    def __init__(self) -> None:
        module, _, name = PLAN["task"].rpartition(".")
        self.task = getattr(importlib.import_module(module), name)
        self.interval = PLAN["seconds"] / PLAN["calls"]
        self.ids: dict[int, str] = {}
        self.began = time.monotonic()

    async def send(self, calls: int) -> None:
        """Send so many more calls."""
        for _ in range(calls):
            number = len(self.ids)
            await asyncio.sleep(max(0.0, self.began + number * self.interval - time.monotonic()))
            kwargs = {**PLAN["kwargs"], "event_id": str(number)}
            self.ids[number] = (await dispatch(self.task, *PLAN["args"], **kwargs)).id


async def flip(flips: list[str]) -> None:
    """Flip the route until cancelled."""
    while True:
        flips.append("celery" if len(flips) % 2 else "taskiq")
        await asyncio.to_thread(flags.set, flips[-1])
        await asyncio.sleep(PLAN["every"])


async def main() -> dict[str, Any]:
    """Flip, then go back."""
    flood, flips = Flood(), list[str]()
    flipping = asyncio.create_task(flip(flips))
    await flood.send(PLAN["calls"])
    flipping.cancel()
    await asyncio.wait([flipping])
    await asyncio.to_thread(flags.set, "taskiq")
    await flood.send(PLAN["after"])
    await asyncio.to_thread(flags.set, "celery")
    back_at, back = time.time(), len(flood.ids)
    await flood.send(PLAN["after"])
    return {"ids": list(flood.ids.values()), "flips": len(flips), "back_at": back_at, "back": back}


print(json.dumps(asyncio.run(main())))
