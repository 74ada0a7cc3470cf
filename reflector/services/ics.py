"""Calendar feeds: fetch one, and find the events in it that take place in a room.

Formats: RFC 5545 (iCalendar). Recurring events are expanded by `recurring_ical_events`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time

import icalendar
import recurring_ical_events
from pydantic import BaseModel

from reflector.processors.http import request


class CalendarError(Exception):
    """The text is no calendar, or breaks the rules of RFC 5545 in a way that cannot be read around."""


class FetchedCalendar(BaseModel):
    """The answer of a feed. `content` is None if the feed has not changed since the ETag given."""

    content: str | None
    etag: str | None
    sha256: str | None


class ParsedEvent(BaseModel):
    """One occurrence of an event, times in UTC. `ics_uid` differs between the occurrences of one series.

    Attendees are {"email", "name", "status"}; the status is that of RFC 5545 (ACCEPTED, DECLINED, TENTATIVE,
    NEEDS-ACTION).
    """

    ics_uid: str
    title: str | None
    description: str | None
    location: str | None
    start_time: datetime
    end_time: datetime
    attendees: list[dict[str, str | None]]


async def fetch_calendar(url: str, etag: str | None = None) -> FetchedCalendar:
    """Fetch a feed; with the `etag` of an earlier answer only if it has changed.

    Raises `ServiceUnavailable` or `ServiceRejected` (service "calendar").
    """
    headers = {"Accept": "text/calendar"}
    if etag:
        headers["If-None-Match"] = etag
    response = await request("calendar", "GET", url, headers=headers)
    if response.status_code == 304:
        return FetchedCalendar(content=None, etag=etag, sha256=None)
    return FetchedCalendar(
        # RFC 5545 (3.1.4): UTF-8 unless the Content-Type says otherwise.
        content=response.content.decode(response.charset_encoding or "utf-8", errors="replace"),
        etag=response.headers.get("ETag"),
        sha256=hashlib.sha256(response.content).hexdigest(),
    )


def parse_calendar(
    content: str, room_url: str, window_start: datetime, window_end: datetime
) -> list[ParsedEvent]:
    """The events that name `room_url` in location or description and touch the window, by start.

    Parameters: `window_start` and `window_end` are aware. Recurring events appear once for each occurrence,
    cancelled ones not at all. All-day events last from midnight to midnight, and times without a zone are
    taken as they stand, in the zone of the calendar (X-WR-TIMEZONE) or else in UTC. Raises `CalendarError`.
    """
    try:
        calendar = icalendar.Calendar.from_ical(content)
        # An event without a start is allowed (RFC 5545, 3.6.1), but takes place at no time.
        calendar.subcomponents = [
            part for part in calendar.subcomponents if part.name != "VEVENT" or "DTSTART" in part
        ]
        series = {str(event.get("UID")) for event in calendar.walk("VEVENT") if _repeats(event)}
        query = recurring_ical_events.of(calendar, skip_bad_series=True)
        events = [
            _parse(event, series)
            for event in query.between(window_start, window_end)
            if event.get("STATUS") != "CANCELLED" and _mentions(event, room_url)
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CalendarError(f"not a readable calendar: {error}") from error
    return sorted(events, key=lambda event: (event.start_time, event.ics_uid))


def _repeats(event: icalendar.Component) -> bool:
    return any(key in event for key in ("RRULE", "RDATE", "RECURRENCE-ID"))


def _mentions(event: icalendar.Component, room_url: str) -> bool:
    """Whether the room's address stands in the event, and not merely as the beginning of another room's."""
    address = re.escape(room_url.rstrip("/")) + r"(?![\w-])"
    return any(re.search(address, str(event.get(key, ""))) for key in ("LOCATION", "DESCRIPTION"))


def _parse(event: icalendar.Component, series: set[str]) -> ParsedEvent:
    uid = str(event.get("UID"))
    start = _utc(event.decoded("DTSTART"))
    if uid in series:
        # The original start names an occurrence even after it has been moved.
        original = _utc(event.decoded("RECURRENCE-ID")) if "RECURRENCE-ID" in event else start
        uid = f"{uid}/{original:%Y%m%dT%H%M%SZ}"
    return ParsedEvent(
        ics_uid=uid,
        title=_text(event, "SUMMARY"),
        description=_text(event, "DESCRIPTION"),
        location=_text(event, "LOCATION"),
        start_time=start,
        end_time=_utc(event.decoded("DTEND")),
        attendees=list(_attendees(event)),
    )


def _text(event: icalendar.Component, key: str) -> str | None:
    return str(event[key]) if key in event else None


def _attendees(event: icalendar.Component) -> Iterator[dict[str, str | None]]:
    found = event.get("ATTENDEE", [])
    for attendee in found if isinstance(found, list) else [found]:
        yield {
            "email": re.sub("^mailto:", "", str(attendee), flags=re.IGNORECASE),
            "name": attendee.params.get("CN"),
            "status": attendee.params.get("PARTSTAT"),
        }


def _utc(value: date | datetime) -> datetime:
    if not isinstance(value, datetime):
        return datetime.combine(value, time(), UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
