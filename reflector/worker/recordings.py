"""How a recorded object in S3 becomes a transcript: the parts of the task `process_recording`."""

import json
import shutil
from pathlib import Path, PurePosixPath
from urllib.parse import unquote_plus

from sqlalchemy.exc import IntegrityError

from reflector.db import Session, get_session_context
from reflector.db.meetings import Meeting, meetings_controller
from reflector.db.recordings import Recording, recordings_controller
from reflector.db.rooms import rooms_controller
from reflector.db.transcript_tables import Transcript
from reflector.db.transcripts import transcripts_controller


def created_objects(body: str) -> list[tuple[str, str]]:
    """Return bucket and key of every object whose creation an S3 event message announces.

    Keys are URL-encoded in it. Raises ValueError, KeyError, TypeError or AttributeError if `body` is no such
    message. Source: "Event message structure" in the Amazon S3 user guide.
    """
    return [
        (record["s3"]["bucket"]["name"], unquote_plus(record["s3"]["object"]["key"]))
        for record in json.loads(body).get("Records", [])
        if record["eventName"].startswith("ObjectCreated")
    ]


async def find_meeting(session: Session, object_key: str) -> Meeting | None:
    """Return the meeting of a recording: the key's first part is the room's name at the meeting service."""
    room_name = PurePosixPath(object_key.lstrip("/")).parts[0]
    meeting = await meetings_controller.get_by_room_name(session, f"/{room_name}")
    return meeting or await meetings_controller.get_by_room_name(session, room_name)


async def get_or_add_recording(
    session: Session, bucket_name: str, object_key: str, meeting: Meeting | None
) -> Recording:
    """Return the recording of an object, created if it is new.

    It is added in a transaction of its own. Of two tasks at once one fails to, and finds what the other has
    added.
    """
    recording = await recordings_controller.get_by_object_key(session, bucket_name, object_key)
    if recording is not None:
        return recording
    try:
        async with get_session_context() as adding:
            return await recordings_controller.add(
                adding,
                bucket_name=bucket_name,
                object_key=object_key,
                meeting_id=meeting.id if meeting else None,
            )
    except IntegrityError:
        recording = await recordings_controller.get_by_object_key(session, bucket_name, object_key)
        if recording is None:
            raise
        return recording


async def add_transcript(
    session: Session, recording: Recording, meeting: Meeting | None, audio: Path
) -> Transcript:
    """Create the uploaded transcript of a recording; `audio` is moved into its folder."""
    room = await rooms_controller.get_by_id(session, meeting.room_id if meeting else None)
    transcript = await transcripts_controller.add(
        session,
        name="",
        source_kind="room",
        user_id=room.user_id if room else None,
        room_id=room.id if room else None,
        meeting_id=meeting.id if meeting else None,
        recording_id=recording.id,
    )
    transcript.data_path.mkdir(parents=True, exist_ok=True)
    shutil.move(audio, transcript.data_path / audio.name)
    await transcripts_controller.set_status(session, transcript, "uploaded")
    return transcript
