"""Reading calendars: the pure part."""

from datetime import UTC, datetime

import pytest

from reflector.services.ics import CalendarError, ParsedEvent, parse_calendar

ROOM = "http://localhost:3000/demo"
WINDOW = (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 30, tzinfo=UTC))


def calendar(*events: str, head: str = "") -> str:
    """A calendar of events, each given by its properties."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test//EN", *head.split()]
    for event in events:
        properties = [line.strip() for line in event.strip().splitlines()]
        lines += ["BEGIN:VEVENT", "DTSTAMP:20260101T000000Z", *properties, "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""])


def parse(content: str) -> list[ParsedEvent]:
    return parse_calendar(content, ROOM, *WINDOW)


def times(content: str) -> list[tuple[str, str]]:
    """Start and end of the events found, in UTC."""
    return [(f"{event.start_time:%m-%d %H:%M}", f"{event.end_time:%m-%d %H:%M}") for event in parse(content)]


def test_an_event_with_everything() -> None:
    (event,) = parse(
        calendar(
            f"""UID:one
            SUMMARY:Council\\, weekly
            DESCRIPTION:Bring the map\\nand lunch
            LOCATION:{ROOM}
            DTSTART:20260310T100000Z
            DTEND:20260310T110000Z
            ATTENDEE;CN=First Guest;PARTSTAT=ACCEPTED:mailto:first@example.org
            ATTENDEE:MAILTO:second@example.org"""
        )
    )
    assert event == ParsedEvent(
        ics_uid="one",
        title="Council, weekly",
        description="Bring the map\nand lunch",
        location=ROOM,
        start_time=datetime(2026, 3, 10, 10, tzinfo=UTC),
        end_time=datetime(2026, 3, 10, 11, tzinfo=UTC),
        attendees=[
            {"email": "first@example.org", "name": "First Guest", "status": "ACCEPTED"},
            {"email": "second@example.org", "name": None, "status": None},
        ],
    )


@pytest.mark.parametrize(
    ("place", "found"),
    [
        (f"LOCATION:{ROOM}", True),
        (f"LOCATION:{ROOM}/", True),
        (f"DESCRIPTION:Join at {ROOM}. Welcome", True),
        (f"DESCRIPTION:<a href='{ROOM}?x=1'>", True),
        (f"LOCATION:{ROOM}-2", False),
        (f"LOCATION:{ROOM}stration", False),
        ("LOCATION:The harbour", False),
        ("SUMMARY:No place at all", False),
    ],
)
def test_only_events_of_the_room(place: str, found: bool) -> None:
    assert bool(parse(calendar(f"UID:one\n{place}\nDTSTART:20260310T100000Z"))) is found


@pytest.mark.parametrize(
    ("properties", "start_and_end"),
    [
        pytest.param(
            "DTSTART;VALUE=DATE:20260310", ("03-10 00:00", "03-11 00:00"), id="all day, without end"
        ),
        pytest.param(
            "DTSTART;VALUE=DATE:20260310\nDTEND;VALUE=DATE:20260312",
            ("03-10 00:00", "03-12 00:00"),
            id="two days",
        ),
        pytest.param(
            "DTSTART:20260310T100000Z\nDURATION:PT45M", ("03-10 10:00", "03-10 10:45"), id="duration"
        ),
        pytest.param("DTSTART:20260310T100000Z", ("03-10 10:00", "03-10 10:00"), id="a point in time"),
        pytest.param(
            "DTSTART;TZID=Europe/Berlin:20260401T090000\nDTEND;TZID=America/New_York:20260401T040000",
            ("04-01 07:00", "04-01 08:00"),
            id="two zones, summer",
        ),
        pytest.param(
            "DTSTART;TZID=W. Europe Standard Time:20260310T090000\nDURATION:PT1H",
            ("03-10 08:00", "03-10 09:00"),
            id="a zone as Windows calls it",
        ),
        pytest.param(
            "DTSTART;TZID=Nowhere/Land:20260310T090000\nDURATION:PT1H",
            ("03-10 09:00", "03-10 10:00"),
            id="an unknown zone is UTC",
        ),
        pytest.param("DTSTART:20260310T090000", ("03-10 09:00", "03-10 09:00"), id="floating"),
    ],
)
def test_times(properties: str, start_and_end: tuple[str, str]) -> None:
    assert times(calendar(f"UID:one\nLOCATION:{ROOM}\n{properties}")) == [start_and_end]


def test_floating_times_are_in_the_zone_of_the_calendar() -> None:
    content = calendar(
        f"UID:one\nLOCATION:{ROOM}\nDTSTART:20260310T100000", head="X-WR-TIMEZONE:America/New_York"
    )
    assert times(content) == [("03-10 14:00", "03-10 14:00")]


def test_the_window_is_respected() -> None:
    events = [f"UID:{day}\nLOCATION:{ROOM}\nDTSTART:{day}T100000Z" for day in (20260228, 20260301, 20260501)]
    assert [event.ics_uid for event in parse(calendar(*events))] == ["20260301"]


def test_a_series_keeps_its_local_time_and_its_exceptions() -> None:
    series = f"""UID:series
        LOCATION:{ROOM}
        DTSTART;TZID=Europe/Berlin:20260320T090000
        DTEND;TZID=Europe/Berlin:20260320T100000
        RRULE:FREQ=WEEKLY;COUNT=5
        EXDATE;TZID=Europe/Berlin:20260403T090000"""
    moved = f"""UID:series
        RECURRENCE-ID;TZID=Europe/Berlin:20260327T090000
        LOCATION:{ROOM}
        DTSTART;TZID=Europe/Berlin:20260328T110000
        DTEND;TZID=Europe/Berlin:20260328T120000"""
    cancelled = f"""UID:series
        RECURRENCE-ID;TZID=Europe/Berlin:20260417T090000
        STATUS:CANCELLED
        LOCATION:{ROOM}
        DTSTART;TZID=Europe/Berlin:20260417T090000"""
    found = parse(calendar(series, moved, cancelled))
    assert [(event.ics_uid, f"{event.start_time:%m-%d %H:%M}") for event in found] == [
        ("series/20260320T080000Z", "03-20 08:00"),
        # Moved, but still the occurrence of the 27th: its row is updated, not replaced.
        ("series/20260327T080000Z", "03-28 10:00"),
        ("series/20260410T070000Z", "04-10 07:00"),
    ]


def test_an_endless_series_ends_with_the_window() -> None:
    found = parse(calendar(f"UID:s\nLOCATION:{ROOM}\nDTSTART:20200101T100000Z\nRRULE:FREQ=DAILY"))
    assert len(found) == 60
    assert len({event.ics_uid for event in found}) == 60


def test_cancelled_events_are_left_out() -> None:
    assert parse(calendar(f"UID:a\nSTATUS:CANCELLED\nLOCATION:{ROOM}\nDTSTART:20260310T100000Z")) == []


@pytest.mark.parametrize(
    "bad", ["", "DTSTART:soon", "DTSTART:20260310T100000Z\nRRULE:FREQ=NEVER"], ids=["none", "date", "rule"]
)
def test_a_bad_event_does_not_hide_the_others(bad: str) -> None:
    good = f"UID:good\nLOCATION:{ROOM}\nDTSTART:20260310T100000Z"
    content = calendar(f"UID:bad\nLOCATION:{ROOM}\n{bad}".strip(), good)
    assert [event.ics_uid for event in parse(content)] == ["good"]


@pytest.mark.parametrize(
    "content", ["", "hello", "<html></html>", calendar("UID:cut")[:-20], "BEGIN:VCALENDAR"]
)
def test_what_is_no_calendar_is_refused(content: str) -> None:
    with pytest.raises(CalendarError, match="not a readable calendar"):
        parse(content)
