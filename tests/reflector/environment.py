"""The settings under test. Importing this module puts them into the environment of the application."""

import os
import socket
import tempfile
from pathlib import Path

_HELD: list[socket.socket] = []
"""A socket per port, bound and not listening: until a server does, nobody else is given the port."""


def _free_port() -> int:
    _HELD.append(probe := socket.socket())
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", 0))
    return int(probe.getsockname()[1])


REDIS_PORT = _free_port()
REDIS_URL = os.environ.get("TEST_REDIS_URL") or f"redis://127.0.0.1:{REDIS_PORT}/0"
AWS_URL = f"http://127.0.0.1:{_free_port()}"
WORLD_URL = f"http://127.0.0.1:{_free_port()}"
_FOLDER = tempfile.TemporaryDirectory(prefix="reflector-tests-", ignore_cleanup_errors=True)
FOLDER = Path(_FOLDER.name)

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
