"""`python -m mini.database` creates the tables; `python -m mini.database fill` fills them."""

import asyncio
import os
import sys
from datetime import UTC, datetime

from sqlalchemy import JSON, Column, DateTime, ForeignKey, Integer, LargeBinary, MetaData, String, Table
from sqlalchemy.ext.asyncio import create_async_engine

metadata = MetaData()
author = Table("author", metadata, Column("id", Integer, primary_key=True), Column("name", String))
book = Table(
    "book",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("author_id", ForeignKey("author.id"), nullable=False),
    Column("written", DateTime(timezone=True)),
    Column("tags", JSON),
    Column("cover", LargeBinary),
)


async def main(fill: bool) -> None:
    engine = create_async_engine(os.environ["MINI_DATABASE_URL"])
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        if fill:
            when = datetime(2024, 5, 1, 12, tzinfo=UTC)
            await connection.execute(author.insert(), [{"id": 2, "name": "B"}, {"id": 1, "name": "A"}])
            await connection.execute(
                book.insert(),
                [{"id": 1, "author_id": 2, "written": when, "tags": ["x", {"y": 1}], "cover": b"?"}],
            )
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(fill="fill" in sys.argv))
