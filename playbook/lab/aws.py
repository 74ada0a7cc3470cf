"""S3 and SQS: moto's server as a process of its own, with buckets and queues."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import boto3
from botocore.config import Config

from playbook.lab.loopback import answers, http_client
from playbook.lab.process import Process
from playbook.lab.server import Server
from playbook.lab.surroundings import child_env
from playbook.lab.waiting import free_port
from playbook.models import QueueMessage, StoredObject

REGION = "us-east-1"
ACCOUNT = "123456789012"  # moto's own
START_TIMEOUT = 30.0
IN_HAND = "taken, and not deleted"
"""Body of a message that is hidden because a client has taken it."""

BATCH = 10  # most that SQS hands out at once


class Aws(Server):
    """Our own S3 and SQS on a free loopback port, empty at the start.

    Parameters:
        folder: for the server's log.
        buckets: buckets to create.
        queues: queues to create.
    """

    region = REGION
    access_key_id = "lab"
    secret_access_key = "lab"  # noqa: S105 - moto takes any

    def __init__(self, folder: Path, buckets: Sequence[str] = (), queues: Sequence[str] = ()) -> None:
        self.folder = folder
        self.buckets = list(buckets)
        self.queues = list(queues)
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._clients: dict[str, Any] = {}

    def start(self) -> Self:
        """Start the server; create buckets and queues."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.process = Process(
            command, name="moto's server", log_path=self.folder / "aws.log", env=child_env()
        )
        self.process.wait_ready(lambda: answers(f"{self.endpoint}/moto-api/data.json"), START_TIMEOUT)
        self._create()
        return self

    def _create(self) -> None:
        for bucket in self.buckets:
            self.s3().create_bucket(Bucket=bucket)
        for queue in self.queues:
            self.sqs().create_queue(QueueName=queue)

    def reset(self) -> None:
        """Delete all objects and all messages, also those that a client has in hand; buckets and queues stay.

        Through moto's own reset: SQS allows one purge of a queue in sixty seconds, and moto keeps to that.
        """
        with http_client(self.endpoint) as http:
            http.post("/moto-api/reset").raise_for_status()
        self._create()

    def s3(self) -> Any:
        """Return the boto3 client for S3; threads may share it."""
        return self._client("s3")

    def sqs(self) -> Any:
        """Return the boto3 client for SQS; threads may share it."""
        return self._client("sqs")

    def _client(self, service: Literal["s3", "sqs"]) -> Any:
        # Kept, because boto3 reads the service's whole description for each new one.
        if service not in self._clients:
            self._clients[service] = self._new_client(service)
        return self._clients[service]

    def _new_client(self, service: Literal["s3", "sqs"]) -> Any:
        # A session of its own: boto3's default one is not safe across threads.
        return boto3.session.Session().client(
            service,
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=Config(proxies={}, retries={"max_attempts": 2}),
        )

    def queue_url(self, queue: str) -> str:
        """Return the address of a queue; known before the server runs."""
        return f"{self.endpoint}/{ACCOUNT}/{queue}"

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Store an object."""
        self.s3().put_object(Bucket=bucket, Key=key, Body=data)

    def send(self, queue: str, body: Any) -> None:
        """Put a message into a queue; what is not a string is sent as JSON."""
        text = body if isinstance(body, str) else json.dumps(body)
        self.sqs().send_message(QueueUrl=self.queue_url(queue), MessageBody=text)

    def objects(self) -> list[StoredObject]:
        """List the objects of all buckets by bucket and key."""
        s3 = self.s3()
        stored = []
        for bucket in sorted(self.buckets):
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                for entry in page.get("Contents", []):
                    data = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
                    digest = hashlib.sha256(data).hexdigest()
                    stored.append(
                        StoredObject(container=bucket, key=entry["Key"], size=len(data), sha256=digest)
                    )
        return stored

    def queue_messages(self) -> list[QueueMessage]:
        """List the messages that wait, by queue. They stay visible; only their receive count goes up.

        One that a client has taken and not deleted will come back, but nobody is shown it before: `IN_HAND`
        stands for it.
        """
        return [
            QueueMessage(queue=queue, body=_parsed(body))
            for queue in sorted(self.queues)
            for body in self._peek(queue)
        ]

    def _peek(self, queue: str) -> list[str]:
        sqs, url = self.sqs(), self.queue_url(queue)
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        waiting, in_hand = (int(attributes[name]) for name in names)
        found: dict[str, str] = {}
        # Hidden for a moment, so that each batch brings others; shown again at the end.
        handles = []
        for _ in range(0, waiting, BATCH):
            answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=BATCH, VisibilityTimeout=30)
            for message in answer.get("Messages", []):
                found[message["MessageId"]] = message["Body"]
                handles.append(message["ReceiptHandle"])
        for handle in handles:
            sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
        return [*found.values(), *[IN_HAND] * in_hand]


def _parsed(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body
