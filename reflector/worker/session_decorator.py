"""Decorators that give a task its database session, its transcript and its logger.

The session is the function's first argument. Its transaction is committed when the function returns and
rolled back when it raises.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from celery import current_task
from structlog.typing import FilteringBoundLogger

from reflector.db import get_session_context
from reflector.db.transcripts import transcripts_controller
from reflector.logger import logger

T = TypeVar("T")


class TranscriptNotFoundError(Exception):
    """There is no transcript with this id; it may have been deleted after the task was sent."""


def with_session(func: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
    """Call `func` with a session as its first argument."""

    @functools.wraps(func)
    async def wrapper(*args: Any, **kwargs: Any) -> T:
        async with get_session_context() as session:
            return await func(session, *args, **kwargs)

    return wrapper


def with_session_and_transcript(func: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
    """Call `func` with a session, and with `transcript` and `logger` as keywords in place of `transcript_id`.

    A failure while the transcript is being processed gives it the status `error`. Raises
    TranscriptNotFoundError if there is no such transcript.
    """

    @functools.wraps(func)
    async def wrapper(*args: Any, transcript_id: str, **kwargs: Any) -> T:
        task_logger = get_task_logger().bind(transcript_id=transcript_id)
        try:
            async with get_session_context() as session:
                transcript = await transcripts_controller.get_by_id(session, transcript_id)
                if transcript is None:
                    raise TranscriptNotFoundError(f"There is no transcript {transcript_id}")
                return await func(session, *args, transcript=transcript, logger=task_logger, **kwargs)
        except Exception:
            task_logger.error("Task failed", exc_info=True)
            await _fail_if_processing(transcript_id)
            raise

    return wrapper


def get_task_id() -> str | None:
    """Return the id of the task that runs in this thread, or None."""
    return current_task.request.id if current_task else None


def get_task_logger() -> FilteringBoundLogger:
    """Return the logger, bound with id, name, worker host and retries of the task in this thread."""
    if not current_task:
        return logger
    request = current_task.request
    return logger.bind(
        task_id=request.id, task=current_task.name, worker=request.hostname, retries=request.retries
    )


async def _fail_if_processing(transcript_id: str) -> None:
    """Give the transcript the status `error`, in a transaction of its own, unless its processing is over."""
    async with get_session_context() as session:
        transcript = await transcripts_controller.get_by_id(session, transcript_id)
        if transcript is not None and transcript.status in ("recording", "processing"):
            await transcripts_controller.finish_processing(session, transcript, "error")
