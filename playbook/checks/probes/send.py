"""Send five messages without starting anything first: `send.py MODULE`. Prints the task ids."""

import asyncio
import importlib
import json
import sys

module = importlib.import_module(sys.argv[1])


async def main() -> list[str]:
    """Send, as an API process would."""
    sent = [await module.echo.kiq(number) for number in range(5)]
    await module.broker.shutdown()
    return [task.task_id for task in sent]


print(json.dumps(asyncio.run(main())))
