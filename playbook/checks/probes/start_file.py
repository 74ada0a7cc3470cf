"""Put a file where the API puts an upload, and send it to one system.

`start_file.py SYSTEM TRANSCRIPT_ID AUDIO` prints the id of the task.
"""

import asyncio
import json
import shutil
import sys
from pathlib import Path

from reflector.db import get_session_context
from reflector.db.transcripts import transcripts_controller
from reflector.pipelines.main_file_pipeline import (
    task_pipeline_file_process,
    task_pipeline_file_process_taskiq,
)
from reflector.worker import app as celery  # noqa: F401 - makes Reflector's app the current one

SYSTEM, TRANSCRIPT_ID, AUDIO = sys.argv[1:]


async def main() -> str:
    """Store, commit, send; the guide's two ways of sending."""
    async with get_session_context() as session:
        transcript = await transcripts_controller.get_by_id(session, TRANSCRIPT_ID)
        transcript.data_path.mkdir(parents=True, exist_ok=True)
        shutil.copy(AUDIO, transcript.data_path / f"upload{Path(AUDIO).suffix}")
        await transcripts_controller.set_status(session, transcript, "uploaded")
    if SYSTEM == "celery":
        sent = await asyncio.to_thread(task_pipeline_file_process.delay, transcript_id=TRANSCRIPT_ID)
        return str(sent.id)
    return str((await task_pipeline_file_process_taskiq.kiq(transcript_id=TRANSCRIPT_ID)).task_id)


print(json.dumps(asyncio.run(main())))
