"""Audio in S3, and the local files of transcripts."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aioboto3
from botocore.exceptions import ClientError

from reflector.db.transcript_tables import Transcript
from reflector.settings import settings


class AudioNotFoundError(Exception):
    """The transcript has no audio: nothing was uploaded, or it has been deleted."""


def aws_client(service: str) -> Any:
    """Return an aioboto3 client for `service` ("s3", "sqs") as an async context manager."""
    session = aioboto3.Session(
        aws_access_key_id=settings.AWS_ACCESS_KEY_ID,
        aws_secret_access_key=settings.AWS_SECRET_ACCESS_KEY,
        region_name=settings.AWS_REGION,
    )
    return session.client(service, endpoint_url=settings.AWS_ENDPOINT_URL)


async def upload(path: Path, key: str) -> None:
    """Store a file in the transcript bucket."""
    async with aws_client("s3") as s3:
        await s3.upload_file(str(path), settings.TRANSCRIPT_STORAGE_BUCKET, key)


async def download(bucket: str, key: str, path: Path) -> None:
    """Fetch an object into a file. Raises FileNotFoundError if the object or the bucket does not exist."""
    async with aws_client("s3") as s3:
        try:
            await s3.download_file(bucket, key, str(path))
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                raise FileNotFoundError(f"There is no object {key!r} in bucket {bucket!r}") from error
            raise


async def delete(bucket: str, key: str) -> None:
    """Remove an object. A missing one is fine."""
    async with aws_client("s3") as s3:
        await s3.delete_object(Bucket=bucket, Key=key)


async def list_keys(bucket: str) -> list[str]:
    """Return the keys of all objects in a bucket, in S3's order."""
    async with aws_client("s3") as s3:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [item["Key"] async for page in pages for item in page.get("Contents", [])]


async def presigned_url(key: str, expires: int = 3600) -> str:
    """Return a URL under which an object of the transcript bucket can be read for `expires` seconds."""
    async with aws_client("s3") as s3:
        params = {"Bucket": settings.TRANSCRIPT_STORAGE_BUCKET, "Key": key}
        url: str = await s3.generate_presigned_url("get_object", Params=params, ExpiresIn=expires)
        return url


@asynccontextmanager
async def transcript_audio(transcript: Transcript) -> AsyncIterator[Path]:
    """Yield a local file with the transcript's audio: the upload, else the mp3, from storage if need be.

    Raises AudioNotFoundError if there is none.
    """
    local = transcript.find_upload()
    if local is None and transcript.audio_mp3_path.exists():
        local = transcript.audio_mp3_path
    if local is not None:
        yield local
        return
    if transcript.audio_deleted or transcript.audio_location != "storage":
        raise AudioNotFoundError(f"Transcript {transcript.id} has no audio; upload it first")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audio.mp3"
        await download(str(settings.TRANSCRIPT_STORAGE_BUCKET), transcript.storage_audio_path, path)
        yield path


async def remove_audio(transcript: Transcript) -> None:
    """Remove every copy of the transcript's audio. The waveform stays."""
    for path in (transcript.find_upload(), transcript.audio_mp3_path):
        if path is not None:
            path.unlink(missing_ok=True)
    if transcript.audio_location == "storage":
        await delete(str(settings.TRANSCRIPT_STORAGE_BUCKET), transcript.storage_audio_path)


async def delete_transcript_audio(transcript: Transcript) -> None:
    """Remove the transcript's audio and its whole folder. What is gone already is fine."""
    await remove_audio(transcript)
    await asyncio.to_thread(shutil.rmtree, transcript.data_path, ignore_errors=True)
