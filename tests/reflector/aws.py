"""S3 and SQS for the tests."""

import boto3

from reflector.settings import settings
from tests.reflector.environment import AWS_URL


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
