"""Meeting rooms of Whereby (https://docs.whereby.com/reference/whereby-rest-api-reference)."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter
from pydantic.alias_generators import to_camel

from reflector.processors.http import bearer, parse, request
from reflector.settings import settings


class _Answer(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Meeting(_Answer):
    """A meeting as the service has created it. Hosts enter by `host_room_url`, guests by `room_url`."""

    meeting_id: str
    room_name: str
    room_url: str
    host_room_url: str
    start_date: AwareDatetime
    end_date: AwareDatetime


class RoomSession(_Answer):
    """A time during which somebody was in the room; `ended_at` is None while they still are."""

    started_at: AwareDatetime
    ended_at: AwareDatetime | None = None


class _Sessions(_Answer):
    results: list[RoomSession]


_MEETING = TypeAdapter(Meeting)
_SESSIONS = TypeAdapter(_Sessions)


async def create_meeting(
    room_name_prefix: str,
    end_date: datetime,
    *,
    is_locked: bool = False,
    room_mode: Literal["normal", "group"] = "normal",
) -> Meeting:
    """Create a meeting that can be entered from now until `end_date` (aware).

    Raises `ServiceUnavailable` or `ServiceRejected`.
    """
    body = {
        "roomNamePrefix": room_name_prefix,
        "endDate": end_date.isoformat(),
        "roomMode": room_mode,
        "isLocked": is_locked,
        "fields": ["hostRoomUrl"],
    }
    url = f"{settings.WHEREBY_API_URL}/meetings"
    response = await request("whereby", "POST", url, json=body, headers=bearer(settings.WHEREBY_API_KEY))
    return parse("whereby", response, _MEETING)


async def get_room_sessions(room_name: str) -> list[RoomSession]:
    """The sessions of a room, as the service lists them. Raises `ServiceUnavailable` or `ServiceRejected`."""
    response = await request(
        "whereby",
        "GET",
        f"{settings.WHEREBY_API_URL}/insights/room-sessions",
        params={"roomName": room_name},
        headers=bearer(settings.WHEREBY_API_KEY),
    )
    return parse("whereby", response, _SESSIONS).results
