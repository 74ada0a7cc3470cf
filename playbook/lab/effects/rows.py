"""All rows of a database as data, whatever its tables are."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, time, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection, MetaData, Table, create_engine, make_url, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from playbook.lab.errors import LabError

Result = TypeVar("Result")
Rows = dict[str, list[dict[str, Any]]]


def read_rows(url: str) -> Rows:
    """Read every row of every table.

    Parameters:
        url: a SQLAlchemy URL; its driver may be asynchronous, also while an event loop runs.

    Returns:
        Table name to rows, ordered by primary key (by all columns where there is none); values as JSON knows
        them: times in ISO format, binary data as its SHA-256, other types as their text.

    Raises:
        LabError: the database cannot be read.
    """
    return in_transaction(url, _read_all)


def delete_rows(url: str) -> None:
    """Delete every row of every table, those that refer to others first. Tables stay.

    Parameters and errors as for `read_rows`.
    """
    in_transaction(url, _delete_all)


def in_transaction(url: str, work: Callable[[Connection], Result]) -> Result:
    """Run a function in one transaction, with whichever driver the URL names."""
    try:
        if make_url(url).get_dialect().is_async:
            # In a thread of its own: the caller may have a running loop, as every notebook does.
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(asyncio.run, _in_async_transaction(url, work)).result()
        engine = create_engine(url, poolclass=NullPool)
        with engine.begin() as connection:
            return work(connection)
    except (SQLAlchemyError, OSError) as error:
        raise LabError(f"the database {url} cannot be used: {error}") from None


async def _in_async_transaction(url: str, work: Callable[[Connection], Result]) -> Result:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.begin() as connection:
        return await connection.run_sync(work)


def _tables(connection: Connection) -> list[Table]:
    """Reflect all tables; those that others refer to come first."""
    metadata = MetaData()
    metadata.reflect(connection)
    return metadata.sorted_tables


def _read_all(connection: Connection) -> Rows:
    rows: Rows = {}
    for table in sorted(_tables(connection), key=lambda table: table.name):
        order = list(table.primary_key.columns) or list(table.columns)
        found = connection.execute(select(table).order_by(*order)).mappings()
        rows[table.name] = [{name: _plain(value) for name, value in row.items()} for row in found]
    return rows


def _delete_all(connection: Connection) -> None:
    for table in reversed(_tables(connection)):
        connection.execute(table.delete())


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes() | bytearray() | memoryview():
            return f"sha256:{hashlib.sha256(value).hexdigest()}"
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return str(value)
