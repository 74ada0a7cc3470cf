"""A task is sent when the rows that it is about are there; and what happens to one that is sent earlier."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from playbook.scaffold.worker.commits import after_commit


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'db.sqlite3'}")
    async with engine.begin() as connection:
        await connection.execute(text("create table rows (name text)"))
    yield engine
    await engine.dispose()


class Worker:
    """Looks into the database at the moment when a task would start: another process, another connection."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.path = engine.url.database
        self.saw: list[int] = []

    def run(self) -> None:
        import sqlite3

        with sqlite3.connect(str(self.path)) as connection:
            self.saw.append(connection.execute("select count(*) from rows").fetchone()[0])


async def insert(session: AsyncSession) -> None:
    await session.execute(text("insert into rows values ('x')"))


async def test_a_task_sent_before_the_commit_does_not_find_its_row(engine: AsyncEngine) -> None:
    worker = Worker(engine)
    async with AsyncSession(engine) as session:
        await insert(session)
        worker.run()
        await session.commit()
    assert worker.saw == [0]


async def test_a_task_sent_after_the_commit_does(engine: AsyncEngine) -> None:
    worker = Worker(engine)
    async with AsyncSession(engine) as session:
        await insert(session)
        after_commit(session, worker.run)
        assert worker.saw == []
        await session.commit()
        assert worker.saw == [1]
        await insert(session)
        await session.commit()
    assert worker.saw == [1], "once"


async def test_without_a_transaction_it_is_sent_at_once(engine: AsyncEngine) -> None:
    worker = Worker(engine)
    async with AsyncSession(engine) as session:
        after_commit(session, worker.run)
        assert worker.saw == [0]


async def test_a_rollback_forgets_it(engine: AsyncEngine) -> None:
    worker = Worker(engine)
    async with AsyncSession(engine) as session:
        await insert(session)
        after_commit(session, worker.run)
        await session.rollback()
        await insert(session)
        await session.commit()
    async with AsyncSession(engine) as session:
        await insert(session)
        after_commit(session, worker.run)
    assert worker.saw == [], "a session that is closed without a commit rolls back"


@pytest.mark.parametrize(("kept", "expected"), [(True, ["outer", "inner"]), (False, ["outer"])])
async def test_a_savepoint_decides_about_what_was_registered_in_it(
    engine: AsyncEngine, kept: bool, expected: list[str]
) -> None:
    calls: list[str] = []
    async with AsyncSession(engine) as session:
        await insert(session)
        after_commit(session, lambda: calls.append("outer"))
        savepoint = await session.begin_nested()
        after_commit(session, lambda: calls.append("inner"))
        await (savepoint.commit() if kept else savepoint.rollback())
        assert calls == []
        await session.commit()
    assert calls == expected


async def test_an_error_comes_out_of_the_commit_and_the_session_stays_usable(engine: AsyncEngine) -> None:
    calls: list[str] = []

    def fail() -> Any:
        raise ConnectionError("Redis is away")

    async with AsyncSession(engine) as session:
        await insert(session)
        after_commit(session, fail)
        after_commit(session, lambda: calls.append("second"))
        with pytest.raises(ConnectionError, match="Redis is away"):
            await session.commit()
        assert calls == ["second"]
        assert (await session.execute(text("select count(*) from rows"))).scalar() == 1
        await session.commit()


async def test_a_synchronous_session_too(engine: AsyncEngine) -> None:
    calls: list[str] = []

    def work(connection: Any) -> None:
        with Session(connection, join_transaction_mode="control_fully") as session:
            session.execute(text("insert into rows values ('y')"))
            after_commit(session, lambda: calls.append("sent"))
            assert calls == []
            session.commit()

    async with engine.connect() as connection:
        await connection.run_sync(work)
    assert calls == ["sent"]
