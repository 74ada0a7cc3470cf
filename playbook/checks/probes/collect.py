"""How many of some tasks have a result: `collect.py MODULE SECONDS ID ...`.

Returns as soon as all have one, and after that many seconds at the latest.
"""

import asyncio
import importlib
import json
import sys
import time

INTERVAL = 0.05
module = importlib.import_module(sys.argv[1])
seconds, ids = float(sys.argv[2]), sys.argv[3:]


async def main() -> int:
    """Ask the broker's own result backend."""
    backend = module.broker.result_backend
    deadline = time.monotonic() + seconds
    while True:
        ready: int = sum([await backend.is_result_ready(task_id) for task_id in ids])
        if ready == len(ids) or time.monotonic() >= deadline:
            await module.broker.shutdown()
            return ready
        await asyncio.sleep(INTERVAL)


print(json.dumps(asyncio.run(main())))
