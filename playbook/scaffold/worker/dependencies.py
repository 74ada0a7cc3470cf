"""What a task may ask TaskIQ to inject.

    @broker.task
    async def rename(transcript_id: str, name: str, session: Session) -> None: ...

Invariant: it is the session that `get_session_context` gives everywhere else. The application decides there
when a transaction commits and when it rolls back; TaskIQ throws a task's error into the generator below, so
that the application sees it.
"""

from collections.abc import AsyncGenerator
from typing import Annotated

from sqlalchemy.ext.asyncio import AsyncSession
from taskiq import TaskiqDepends

from ..db import get_session_context


async def session() -> AsyncGenerator[AsyncSession, None]:
    """Yield the application's session for the time of one task."""
    async with get_session_context() as opened:
        yield opened


Session = Annotated[AsyncSession, TaskiqDepends(session)]
