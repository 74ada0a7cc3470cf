"""What most endpoints need: a session, the user, and the record that the path names."""

from typing import Annotated

from fastapi import Depends, Header, HTTPException, status

from reflector.db import Session, get_session
from reflector.db.rooms import Room, rooms_controller
from reflector.db.transcript_tables import Transcript
from reflector.db.transcripts import transcripts_controller

SessionDep = Annotated[Session, Depends(get_session)]
# There is no login: a proxy in front of the application is trusted to set the header. None is an anonymous
# user.
UserId = Annotated[str | None, Header(alias="X-User-Id")]


async def _transcript(transcript_id: str, session: SessionDep) -> Transcript:
    transcript = await transcripts_controller.get_by_id(session, transcript_id)
    if transcript is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is no transcript {transcript_id}")
    return transcript


async def _room(name: str, session: SessionDep) -> Room:
    room = await rooms_controller.get_by_name(session, name)
    if room is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is no room {name}")
    return room


TranscriptDep = Annotated[Transcript, Depends(_transcript)]
RoomDep = Annotated[Room, Depends(_room)]
