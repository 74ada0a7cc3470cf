"""Schedules that come from elsewhere than `beat_schedule`: added at run time, or labels of tasks.

    await source.add("remind-7", {"task": "app.tasks.remind", "schedule": 90.0, "args": [7]})
    await source.remove("remind-7")
    await remind.schedule_by_cron(source, "0 9 * * mon-fri", 7)        # TaskIQ's own ways as well
    @broker.task(schedule=[{"cron": "*/5 * * * *", "args": [7]}])

What is added at run time is stored as JSON in Redis, and counts within a second in every replica.
"""

from collections.abc import Mapping
from typing import Any

from taskiq import AsyncBroker, ScheduledTask, ScheduleSource

from .clients import with_client
from .schedule_entries import Entry, ScheduleError
from .schedule_store import ADD, ScheduleKeys
from .streams import StreamBroker


class DurableSource(ScheduleSource):
    """The schedule as TaskIQ sees it. Its entries are run by our own scheduler, not by TaskIQ's loop."""

    async def get_schedules(self) -> list[ScheduledTask]:
        """Return nothing: TaskIQ's loop, which forgets last runs, has nothing to do."""
        return []

    async def add_schedule(self, schedule: ScheduledTask) -> None:
        """Store one of TaskIQ's schedules; raise `ScheduleError` if its cron is none."""
        await self._store(Entry.of_taskiq(schedule))

    async def delete_schedule(self, schedule_id: str) -> None:
        """Remove a schedule that was added at run time, if it is there."""
        await self.remove(schedule_id)

    async def add(self, name: str, fields: Mapping[str, Any]) -> None:
        """Store an entry in Celery's form, in place of one of the same name; its first slot lies ahead.

        Raises:
            ScheduleError: it makes no sense (`Entry.of`).
            redis.exceptions.RedisError: Redis cannot be reached.
        """
        await self._store(Entry.of(name, fields, stored=True))

    async def remove(self, name: str) -> bool:
        """Remove an entry that was added at run time; tell whether it was there."""

        async def use(broker: AsyncBroker) -> bool:
            names = _names(broker)
            removed = await broker.redis.hdel(names.entries, name)  # type: ignore[attr-defined]
            if removed:
                await broker.redis.hdel(names.last, name)  # type: ignore[attr-defined]
            return bool(removed)

        return await with_client(use)

    async def _store(self, entry: Entry) -> None:
        async def use(broker: AsyncBroker) -> None:
            names = _names(broker)
            # A single due time that is past already is due at once, as under TaskIQ.
            last = 0 if entry.once else ""
            keys = [names.entries, names.last]
            await broker.redis.eval(ADD, len(keys), *keys, entry.name, entry.dumps(), last)  # type: ignore[attr-defined]

        await with_client(use)


def label_entries(broker: AsyncBroker) -> dict[str, Entry]:
    """Return the entries that the labels of a broker's tasks ask for.

    They are named TASK#0, TASK#1, ... unless they have a `schedule_id`: names must outlive the process
    (taskiq/schedule_sources/label_based.py gives new ones at every start).

    Raises:
        ScheduleError: a label is no schedule.
    """
    entries = {}
    for name, task in broker.get_all_tasks().items():
        for number, label in enumerate(task.labels.get("schedule", ())):
            fields = {"schedule_id": f"{name}#{number}", "args": [], "kwargs": {}, **label}
            try:
                schedule = ScheduledTask(task_name=name, **{"labels": {}, **fields})
            except ValueError as error:
                raise ScheduleError(f"schedule label of {name}: {error}") from error
            entries[schedule.schedule_id] = Entry.of_taskiq(schedule, stored=False)
    return entries


def _names(broker: AsyncBroker) -> ScheduleKeys:
    if not isinstance(broker, StreamBroker):
        raise ScheduleError("schedules are kept in Redis; where tasks run in place there is none")
    return ScheduleKeys(broker.keys)
