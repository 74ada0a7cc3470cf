"""What the API needs to know about tasks that it has sent."""

import asyncio

from celery.result import AsyncResult

from reflector.db.transcript_tables import Transcript


async def is_task_active(transcript: Transcript) -> bool:
    """Tell whether a task for this transcript waits in the queue or runs.

    Pipelines clear `task_id` when they end. The result covers those that failed before they could.
    """
    if transcript.task_id is None:
        return False
    result: AsyncResult = AsyncResult(transcript.task_id)
    return not await asyncio.to_thread(result.ready)
