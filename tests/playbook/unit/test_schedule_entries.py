"""Entries of the schedule: what is read, what is refused, what is stored."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from taskiq import InMemoryBroker, ScheduledTask

from playbook.scaffold.worker.crontab import crontab
from playbook.scaffold.worker.schedule_entries import (
    NEVER,
    Entry,
    Once,
    ScheduleError,
    read_entries,
    zone_of,
)
from playbook.scaffold.worker.schedule_source import DurableSource, label_entries
from playbook.scaffold.worker.schedule_store import instant, microseconds
from playbook.scaffold.worker.scheduler_agenda import Agenda, find_slot
from playbook.scaffold.worker.scheduler_loop import SchedulerLoop
from playbook.scaffold.worker.schedules import schedule

BERLIN = ZoneInfo("Europe/Berlin")


def test_an_entry_in_celerys_form() -> None:
    when = datetime(2030, 1, 1)
    fields = {
        "task": "app.run",
        "schedule": timedelta(minutes=5),
        "args": [1, date(2026, 1, 1)],
        "kwargs": {"by": "beat"},
        "relative": True,
        "options": {"queue": "fast", "expires": when, "retry": True, "countdown": None},
    }
    (entry,) = read_entries({"run": fields}).values()
    assert entry.schedule == schedule(300, relative=True)
    assert (entry.args, entry.kwargs) == ((1, date(2026, 1, 1)), {"by": "beat"})
    assert entry.labels == {"queue_name": "fast", "expires": "2030-01-01T00:00:00+00:00"}
    assert (entry.routed, entry.stored, entry.once) == (True, False, False)
    stored = Entry.of("run", fields, stored=True)
    assert Entry.loads("run", stored.dumps()) == stored
    assert not stored.routed


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"schedule": 5}, "needs the name of a task"),
        ({"task": "t"}, "needs the name of a task and a schedule"),
        ({"task": "t", "schedule": "hourly"}, "number of seconds"),
        ({"task": "t", "schedule": -1}, "longer than -1"),
        ({"task": "t", "schedule": 1, "every": 2}, "unknown field every"),
        ({"task": "t", "schedule": 1, "options": {"priority": 3}}, "option priority has no meaning"),
        ({"task": "t", "schedule": 1, "args": [object()]}, "cannot be sent as JSON"),
    ],
)
def test_a_bad_entry_is_refused_by_name(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ScheduleError, match=f"'bad'.*{reason}"):
        read_entries({"good": {"task": "t", "schedule": 1}, "bad": fields})


@pytest.mark.parametrize("text", [b"", b"[]", b'{"task": "t"}', b'{"task": "t", "schedule": {"every": 0}}'])
def test_a_stored_entry_that_cannot_be_read(text: bytes) -> None:
    with pytest.raises(ScheduleError, match="'x' cannot be read"):
        Entry.loads("x", text)


def test_taskiqs_own_schedules() -> None:
    def read(**fields: Any) -> Entry:
        return Entry.of_taskiq(
            ScheduledTask(task_name="t", labels={"a": 1}, args=[], kwargs={}, schedule_id="id", **fields)
        )

    assert read(cron="0 9 * * fri-mon").schedule == crontab(hour=9, minute=0, day_of_week="fri-mon")
    assert read(cron="0 9 * * *").zone == "UTC"
    assert read(cron="0 9 * * *", cron_offset="Europe/Berlin").zone == "Europe/Berlin"
    moved = read(cron="0 9 * * *", cron_offset=timedelta(hours=2))
    slot = find_slot(moved, microseconds(datetime(2026, 1, 1, tzinfo=UTC)), BERLIN)
    assert instant(slot.due) == datetime(2026, 1, 1, 7, tzinfo=UTC)
    once = read(time=datetime(2030, 1, 1))
    assert once.schedule == Once(datetime(2030, 1, 1, tzinfo=UTC))
    assert Entry.loads("id", once.dumps()) == once
    for bad in (
        {"cron": "* * * * * *"},
        {"cron": "* * * *"},
        {"cron": "0 9 * * *", "cron_offset": "Nowhere/X"},
    ):
        with pytest.raises(ScheduleError, match="schedule of t"):
            read(**bad)


def test_a_single_time_is_over_after_its_run() -> None:
    at = datetime(2030, 1, 1, tzinfo=UTC)
    once = Once(at)
    assert once.following(at - timedelta(seconds=1), UTC) == at
    assert once.following(at, UTC) == NEVER
    assert once.is_due(at - timedelta(seconds=9), at - timedelta(seconds=4), UTC) == (False, 4)
    assert once.is_due(at - timedelta(seconds=9), at, UTC) == (True, 0)


async def test_labels_of_tasks() -> None:
    broker = InMemoryBroker()
    broker.register_task(
        lambda: None,
        "app.run",
        schedule=[
            {"cron": "*/5 * * * *", "args": [7]},
            {"interval": 5, "schedule_id": "mine", "labels": {"b": 2}},
        ],
    )
    entries = label_entries(broker)
    assert set(entries) == {"app.run#0", "mine"}
    assert entries["app.run#0"].args == (7,)
    assert entries["mine"].labels == {"b": 2}
    assert not entries["mine"].routed
    broker.register_task(lambda: None, "app.bad", schedule=[{"interval": 0.5}])
    with pytest.raises(ScheduleError, match=r"schedule label of app\.bad"):
        label_entries(broker)


async def test_without_redis_nothing_is_scheduled() -> None:
    with pytest.raises(ScheduleError, match="needs Redis"):
        SchedulerLoop(InMemoryBroker(), Agenda({}, UTC))
    assert await DurableSource().get_schedules() == []


def test_zones() -> None:
    assert zone_of("Europe/Berlin") == BERLIN
    assert zone_of(3600.0).utcoffset(None) == timedelta(hours=1)
    with pytest.raises(ScheduleError, match="no time zone 'Mars/Base'"):
        zone_of("Mars/Base")
