"""Stand-in for the application's database module: the one function that the worker modules call."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine


@asynccontextmanager
async def get_session_context() -> AsyncIterator[AsyncSession]:
    """Yield a session on DATABASE_URL, as an application's own function of this name does."""
    engine = create_async_engine(os.environ.get("DATABASE_URL", "sqlite+aiosqlite://"))
    try:
        async with AsyncSession(engine) as session:
            yield session
    finally:
        await engine.dispose()
