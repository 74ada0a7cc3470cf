"""Meetings: consent to the recording."""

from fastapi import APIRouter, HTTPException, status
from pydantic import BaseModel

from reflector.db.meetings import meeting_consent_controller, meetings_controller
from reflector.views.dependencies import SessionDep, UserId

router = APIRouter(prefix="/meetings", tags=["meetings"])


class Consent(BaseModel):
    """A participant's answer to whether the recording may be kept."""

    consent_given: bool


class ConsentOut(Consent):
    """The recorded answer."""

    id: str


@router.post("/{meeting_id}/consent")
async def give_consent(
    meeting_id: str, body: Consent, session: SessionDep, user_id: UserId = None
) -> ConsentOut:
    """Record an answer. A later one of the same known user replaces it."""
    if await meetings_controller.get_by_id(session, meeting_id) is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is no meeting {meeting_id}")
    consent = await meeting_consent_controller.upsert(session, meeting_id, user_id, body.consent_given)
    await session.commit()
    return ConsentOut(id=consent.id, consent_given=consent.consent_given)
