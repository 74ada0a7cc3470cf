"""Send tasks by their names, whether or not anybody knows them: `operations_send BROKER JSON`.

The JSON is a list of [name, how often, keyword arguments].
"""

import asyncio
import json
import sys

from taskiq import AsyncBroker
from taskiq.cli.utils import import_object
from taskiq.kicker import AsyncKicker


async def main(broker: AsyncBroker, calls: list[tuple[str, int, dict[str, object]]]) -> list[str]:
    """Send them; return their ids."""
    ids = []
    for name, times, kwargs in calls:
        for _ in range(times):
            kicker: AsyncKicker[..., object] = AsyncKicker(name, broker, {})
            ids.append((await kicker.kiq(**kwargs)).task_id)
    await broker.shutdown()
    return ids


print(json.dumps(asyncio.run(main(import_object(sys.argv[1]), json.loads(sys.argv[2])))))
