"""What TaskIQ's own scheduler does with schedules (traps T27 to T30), and what ours does in its place."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from taskiq import InMemoryBroker, ScheduledTask, TaskiqScheduler
from taskiq.cli.scheduler.run import (
    CronValueError,
    SchedulerLoop,
    get_all_schedules,
    is_cron_task_now,
)
from taskiq.schedule_sources import LabelScheduleSource
from taskiq_redis import ListRedisScheduleSource

from playbook.lab import RedisServer
from playbook.oracle.cron import due_times
from playbook.scaffold.worker.crontab import crontab
from playbook.scaffold.worker.schedule_entries import Entry, ScheduleError, read_entries
from playbook.scaffold.worker.schedule_source import label_entries
from playbook.scaffold.worker.schedule_store import View, microseconds
from playbook.scaffold.worker.scheduler_agenda import Agenda

pytestmark = pytest.mark.integration

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def stock_due(cron: str, start: datetime, hours: int, zone: str = "UTC") -> list[datetime]:
    """The minutes in which TaskIQ's loop would send a cron."""
    minutes = (start + timedelta(minutes=n) for n in range(hours * 60))
    return [minute for minute in minutes if is_cron_task_now(cron, minute, zone)]


def scheduled(**fields: Any) -> ScheduledTask:
    return ScheduledTask(task_name="t", labels={}, args=[], kwargs={}, schedule_id="one", **fields)


def labelled() -> InMemoryBroker:
    broker = InMemoryBroker()
    broker.register_task(lambda: None, "app.run", schedule=[{"cron": "* * * * *"}])
    return broker


async def test_t27_labels_need_a_source_of_their_own(tmp_path: Any) -> None:
    broker = labelled()
    with RedisServer(tmp_path / "redis") as server:
        alone = TaskiqScheduler(broker, [ListRedisScheduleSource(server.url)])
        ((_, found),) = await get_all_schedules(alone)
        assert found == []
    source = LabelScheduleSource(broker)
    await source.startup()
    assert len(await source.get_schedules()) == 1
    assert set(label_entries(broker)) == {"app.run#0"}


def test_t28_six_fields_and_fractions_of_a_second() -> None:
    with pytest.raises(CronValueError):
        is_cron_task_now("*/5 * * * * *", NEW_YEAR)  # only now, at every look; the schedule was accepted
    assert scheduled(cron="*/5 * * * * *").cron
    with pytest.raises(ScheduleError, match="6 fields"):
        Entry.of_taskiq(scheduled(cron="*/5 * * * * *"))
    with pytest.raises(ValueError, match="Fractional"):
        scheduled(interval=timedelta(seconds=0.5))
    assert read_entries({"half": {"task": "t", "schedule": 0.5}})["half"].schedule.seconds == 0.5  # type: ignore[attr-defined]


async def test_t29_last_runs_are_forgotten() -> None:
    now = NEW_YEAR + timedelta(minutes=1)
    task = scheduled(interval=3600)
    starts = [SchedulerLoop(TaskiqScheduler(InMemoryBroker(), [])) for _ in range(3)]
    assert [loop._is_schedule_ready_to_send(task, now) for loop in starts] == [True, True, True]
    entries = read_entries({"one": {"task": "t", "schedule": 3600}})
    view = View(microseconds(now), {"one": microseconds(now) - 60_000_000}, {}, {})
    for _ in range(3):  # started three times: each finds in Redis that an hour has not passed
        agenda = Agenda(entries, UTC)
        agenda.see(view)
        assert agenda.due() == []
        assert agenda.pause() <= 1
    late = View(microseconds(now), {"one": microseconds(now) - 9_000_000_000}, {}, {})
    agenda = Agenda(entries, UTC)
    agenda.see(late)
    assert [slot.entry for slot in agenda.due()] == ["one"]  # missed while down: made up


@pytest.mark.parametrize(
    ("cron", "days", "stock", "ours"),
    [
        ("0 0 1 * 1", 31, 5, 0),  # the first of the month, or a Monday; Celery: and
        ("0 22-2 * * *", 7, 0, 35),  # wraps around midnight
        ("0 12 * * fri-sun", 7, 2, 3),  # Sunday is left out
    ],
)
def test_t30_crontabs_mean_something_else(cron: str, days: int, stock: int, ours: int) -> None:
    try:
        found = len(stock_due(cron, NEW_YEAR, days * 24))
    except CronValueError:
        found = 0
    assert found == stock
    end = NEW_YEAR + timedelta(days=days)
    start = NEW_YEAR - timedelta(minutes=1)
    assert len(list(due_times(crontab.from_string(cron), ZoneInfo("UTC"), start, end))) == ours


@pytest.mark.parametrize(
    ("midnight", "stock", "ours"),
    [(datetime(2026, 10, 24, 22, tzinfo=UTC), 2, 1), (datetime(2026, 3, 28, 23, tzinfo=UTC), 0, 1)],
)
def test_t30_when_clocks_are_set(midnight: datetime, stock: int, ours: int) -> None:
    zone = "Europe/Berlin"
    assert len(stock_due("30 2 * * *", midnight, 24, zone)) == stock
    line = crontab.from_string("30 2 * * *")
    assert len(list(due_times(line, ZoneInfo(zone), midnight, midnight + timedelta(hours=24)))) == ours
