"""Schedules mean what Celery's mean: the same values, the same refusals, the same due times."""

import pickle
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import crontab as CeleryCrontab  # noqa: N812
from celery.schedules import schedule as CelerySchedule  # noqa: N812
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from playbook.oracle.cron import due_times
from playbook.scaffold.worker.crontab import crontab
from playbook.scaffold.worker.schedules import (
    as_json,
    from_json,
    maybe_schedule,
    schedule,
    solar,
)
from tests.playbook.unit.schedule_samples import FIELDS, SimulatedBeat, celery_in, crontabs, moments, zones

SHORTEST = 24 * 60
"""Minutes of the shortest window."""

odd_texts = st.text(alphabet="0123456789*/-,_ afjmnsuw\n", max_size=8)


def outcome(make: Any, fields: dict[str, Any]) -> Any:
    try:
        made = make(**fields)
    except Exception as error:
        return type(error).__name__, str(error)
    return {name: set(getattr(made, name)) for name in FIELDS}


@settings(max_examples=400, deadline=None)
@given(st.one_of(crontabs, st.dictionaries(st.sampled_from(list(FIELDS)), odd_texts)))
def test_the_same_values_and_refusals(fields: dict[str, Any]) -> None:
    assert outcome(crontab, fields) == outcome(CeleryCrontab, fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"minute": 60},
        {"minute": -1},
        {"minute": "-1"},
        {"minute": 1.5},
        {"minute": None},
        {"minute": "1,,2"},
        {"minute": "a"},
        {"minute": "*/0"},
        {"minute": "99-5/"},
        {"minute": "1-5-9/x"},
        {"minute": "*5"},
        {"minute": "*/"},
        {"hour": "24"},
        {"day_of_week": "7"},
        {"day_of_week": "sunny,sat"},
        {"month_of_year": 0},
        {"month_of_year": "dec-feb/2"},
        {"day_of_month": 30, "month_of_year": "feb"},
        {"day_of_month": [31], "month_of_year": "4,6,9,11"},
        {"day_of_month": 29, "month_of_year": 2},
        {"day_of_month": []},
        {"hour": {8, 12}},
        {"hour": range(3)},
    ],
    ids=str,
)
def test_named_refusals_and_odd_forms(fields: dict[str, Any]) -> None:
    assert outcome(crontab, fields) == outcome(CeleryCrontab, fields)


@pytest.mark.parametrize("fields", [{"minute": []}, {"minute": [1.5]}, {"hour": ["5"]}], ids=str)
def test_what_celery_takes_and_cannot_run_is_refused_at_once(fields: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        crontab(**fields)


@settings(max_examples=400, deadline=None)
@given(crontabs, zones, moments, st.integers(0, 10**6), st.sampled_from([None, 60, 3600, 86_400]))
def test_is_due_as_celery_says(
    fields: dict[str, Any], zone: str, last_run: datetime, seconds: int, deadline: int | None
) -> None:
    now = last_run + timedelta(seconds=seconds)
    try:
        mine = crontab(**fields)
    except ValueError:
        assume(False)
    app = celery_in(zone)
    app.conf.beat_cron_starting_deadline = deadline
    theirs = CeleryCrontab(**fields, app=app, nowfun=lambda: now.astimezone(ZoneInfo(zone)))
    assert mine.is_due(last_run, now, ZoneInfo(zone), deadline) == theirs.is_due(last_run)


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.floats(0.05, 90),
        st.integers(1, 300).map(lambda n: n * 60),
        st.integers(1, 4).map(lambda n: n * 86_400),
        st.floats(60, 200_000),
    ),
    st.booleans(),
    zones,
    moments,
    st.floats(0, 2),
)
def test_intervals_as_celery_says(
    every: float, relative: bool, zone: str, last_run: datetime, share: float
) -> None:
    now = last_run + timedelta(seconds=every * share)
    there = ZoneInfo(zone)
    theirs = CelerySchedule(every, relative, app=celery_in(zone), nowfun=lambda: now.astimezone(there))
    assert schedule(every, relative).is_due(last_run, now, there) == theirs.is_due(last_run.astimezone(there))


@pytest.mark.parametrize("wanted", [20_000, pytest.param(200_000, marks=pytest.mark.long)])
def test_due_times_are_those_of_beat(wanted: int) -> None:
    """Compare at least `wanted` pairs of expression and minute."""
    pairs = 0

    @settings(max_examples=wanted // SHORTEST + 1, deadline=None)
    @given(crontabs, zones, moments, st.integers(SHORTEST // 60, 72))
    def compare(fields: dict[str, Any], zone: str, start: datetime, hours: int) -> None:
        nonlocal pairs
        try:
            entry = crontab(**fields)
        except ValueError:
            assume(False)
        there = ZoneInfo(zone)
        # Started within a repeated hour, beat sends without pause.
        assume(not start.astimezone(there).fold)
        end = start + timedelta(hours=hours)
        assert list(due_times(entry, there, start, end)) == SimulatedBeat(fields, zone, start).run(end)
        pairs += hours * 60

    compare()
    assert pairs >= wanted


def test_a_start_within_the_repeated_hour_waits_for_its_end() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    repeated = datetime(2026, 10, 25, 1, 5, tzinfo=UTC)
    assert repeated.astimezone(berlin).fold == 1
    assert crontab(minute="*/10").next_run(repeated, berlin) < repeated
    assert crontab(minute="*/10").following(repeated, berlin) == datetime(2026, 10, 25, 2, 0, tzinfo=UTC)


@settings(max_examples=100, deadline=None)
@given(st.one_of(crontabs, st.floats(0.1, 10**6)), st.booleans(), moments)
def test_stored_as_json_it_is_the_same(given_schedule: Any, relative: bool, moment: datetime) -> None:
    if isinstance(given_schedule, dict):
        try:
            made: Any = crontab(**given_schedule)
        except ValueError:
            assume(False)
    else:
        made = maybe_schedule(given_schedule, relative)
    read = from_json(as_json(made))
    assert read == made
    assert hash(read) == hash(made)
    zone = ZoneInfo("Europe/Berlin")
    assert read.following(moment, zone) == made.following(moment, zone)
    assert pickle.loads(pickle.dumps(made)) == made


def test_a_line_of_a_crontab() -> None:
    line = crontab.from_string("0 22 1-7 jan-mar mon")
    assert line == crontab(minute=0, hour=22, day_of_week=1, day_of_month="1-7", month_of_year="1-3")
    assert line != crontab()
    with pytest.raises(ValueError, match="6 fields"):
        crontab.from_string("* * * * * *")


def test_what_is_no_schedule_is_refused_with_a_reason() -> None:
    with pytest.raises(ValueError, match="no ephemeris"):
        solar("sunset", -37.8, 144.96)
    with pytest.raises(ValueError, match="longer than 0"):
        schedule(0)
    with pytest.raises(TypeError, match="number of seconds"):
        maybe_schedule("every day")
