"""What a task may ask TaskIQ to inject.

    @broker.task
    async def rename(transcript_id: str, name: str, session: Session) -> None: ...

Invariant: the session is in a transaction that commits when the task returns and rolls back when it raises.
"""

from collections.abc import AsyncGenerator
from typing import Annotated

from sqlalchemy.ext.asyncio import AsyncSession
from taskiq import TaskiqDepends

from ..db import get_session_context


async def transaction() -> AsyncGenerator[AsyncSession, None]:
    """Yield a session in a transaction; TaskIQ throws a task's error in here, which rolls it back."""
    async with get_session_context() as session, session.begin():
        yield session


Session = Annotated[AsyncSession, TaskiqDepends(transaction)]
