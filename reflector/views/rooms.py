"""Rooms and what happens with their meetings. A room is addressed by its name."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, status
from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, PlainSerializer
from sqlalchemy.exc import IntegrityError

from reflector.db.meetings import Meeting, meetings_controller
from reflector.db.rooms import Room, rooms_controller
from reflector.views.dependencies import RoomDep, SessionDep, UserId
from reflector.views.transcripts import Done
from reflector.worker.ics_sync import sync_room_ics

router = APIRouter(prefix="/rooms", tags=["rooms"])

Url = Annotated[AnyHttpUrl, PlainSerializer(str)]


class RoomSettings(BaseModel):
    """What can be changed about a room. `ics_fetch_interval` is in seconds."""

    model_config = ConfigDict(extra="forbid")

    zulip_auto_post: bool = False
    zulip_stream: str = ""
    zulip_topic: str = ""
    webhook_url: Url | None = None
    webhook_secret: str | None = None
    ics_url: Url | None = None
    ics_enabled: bool = False
    ics_fetch_interval: int = Field(300, ge=10)


class CreateRoom(RoomSettings):
    """A new room. The name becomes part of addresses."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$")


class RoomOut(BaseModel):
    """A room as clients see it: everything but the secret."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    name: str
    user_id: str | None
    created_at: datetime
    zulip_auto_post: bool
    zulip_stream: str
    zulip_topic: str
    webhook_url: str | None
    ics_url: str | None
    ics_enabled: bool
    ics_fetch_interval: int
    ics_last_sync: datetime | None


class MeetingOut(BaseModel):
    """A meeting in a room."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    room_id: str
    room_name: str
    room_url: str
    start_date: datetime
    end_date: datetime
    is_active: bool
    num_clients: int


@router.get("", response_model=list[RoomOut])
async def list_rooms(session: SessionDep) -> Sequence[Room]:
    """All rooms by name."""
    return await rooms_controller.get_all(session)


@router.post("", response_model=RoomOut)
async def create_room(body: CreateRoom, session: SessionDep, user_id: UserId = None) -> Room:
    """Create a room."""
    try:
        room = await rooms_controller.add(session, user_id=user_id, **body.model_dump())
        await session.commit()
    except IntegrityError as error:
        raise HTTPException(status.HTTP_409_CONFLICT, f"There is a room {body.name} already") from error
    return room


@router.get("/{name}", response_model=RoomOut)
async def get_room(room: RoomDep) -> Room:
    """One room."""
    return room


@router.patch("/{name}", response_model=RoomOut)
async def update_room(body: RoomSettings, room: RoomDep, session: SessionDep) -> Room:
    """Change the settings that the request names; the others stay."""
    values: dict[str, Any] = body.model_dump(exclude_unset=True)
    await rooms_controller.update(session, room, values)
    await session.commit()
    return room


@router.delete("/{name}", response_model=Done)
async def delete_room(room: RoomDep, session: SessionDep) -> Done:
    """Delete a room with its meetings and calendar events."""
    await rooms_controller.remove(session, room)
    await session.commit()
    return Done()


@router.post("/{name}/ics/sync", response_model=Done)
async def sync_calendar(room: RoomDep) -> Done:
    """Read the room's calendar feed now, in the background."""
    if not (room.ics_enabled and room.ics_url):
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "Room has no calendar; set ics_url and ics_enabled")
    sync_room_ics.delay(room.id)
    return Done(status="started")


@router.get("/{name}/meetings", response_model=list[MeetingOut])
async def list_meetings(room: RoomDep, session: SessionDep) -> Sequence[Meeting]:
    """The room's meetings, latest first."""
    return await meetings_controller.get_by_room(session, room.id)
