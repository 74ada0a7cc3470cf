"""Database access: sessions for the API and for tasks, and the tables.

Application code takes a session from `get_session` (FastAPI dependency) or `get_session_context` (everything
else) and hands it to the controllers. Controllers flush; whoever opened the session commits.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool

# Importing the modules registers their tables.
from reflector.db import calendar_events, meetings, recordings, rooms, transcript_tables  # noqa: F401
from reflector.db.base import Base
from reflector.logger import logger
from reflector.settings import settings

SQLITE_BUSY_TIMEOUT_MS = 15_000


class Session(AsyncSession):
    """A session that can run callbacks once its transaction is committed."""

    def after_commit(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Await `callback` after the next commit, in order of registration. A rollback forgets it."""
        self.info.setdefault("after_commit", []).append(callback)

    async def commit(self) -> None:
        """Commit, then run the callbacks. What they do is not worth failing for: the data is safe already."""
        await super().commit()
        for callback in self.info.pop("after_commit", []):
            try:
                await callback()
            except Exception:
                logger.warning("A callback failed after the commit", exc_info=True)

    async def rollback(self) -> None:
        """Roll back and forget the callbacks."""
        self.info.pop("after_commit", None)
        await super().rollback()


@lru_cache
def get_engine() -> AsyncEngine:
    """Return the process's engine for DATABASE_URL.

    It keeps no connections between sessions (NullPool). A pooled connection belongs to the event loop and the
    process that opened it, but the loop bridge gives every Celery task a new loop and the prefork pool forks
    the process; with nothing pooled, nothing can be used by the wrong one.
    """
    engine = create_async_engine(settings.DATABASE_URL, poolclass=NullPool)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Let several processes read while one writes, wait for a lock, and enforce foreign keys."""
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def get_session_factory() -> async_sessionmaker[Session]:
    """Return the factory of sessions. Prefer `get_session` or `get_session_context`, which also commit."""
    return async_sessionmaker(get_engine(), class_=Session, expire_on_commit=False)


async def get_session() -> AsyncIterator[Session]:
    """Yield a session whose transaction is committed at the end, or rolled back on an error."""
    async with get_session_factory()() as session:
        try:
            yield session
        except BaseException:
            await session.rollback()
            raise
        await session.commit()


def get_session_context() -> AbstractAsyncContextManager[Session]:
    """Return `get_session` as a context manager. A test that replaces `get_session` replaces this one too."""
    return asynccontextmanager(get_session)()


async def create_all() -> None:
    """Create the tables that do not exist yet."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
