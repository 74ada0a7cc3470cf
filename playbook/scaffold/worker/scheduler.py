"""The scheduler process: start any number of it.

    python -m PACKAGE.worker.scheduler MODULE ...           # until SIGTERM
    taskiq scheduler PACKAGE.worker.scheduler:scheduler MODULE ...
    python -m PACKAGE.worker.scheduler --list MODULE ...    # what is scheduled, last run, next due

If TASKIQ_HTTP_PORT is set, it answers there (`probes`). Exit status: 0 after SIGTERM or
SIGINT, 1 if it failed. Name every module that defines tasks, so that their options and `schedule` labels are
known.
"""

import argparse
import asyncio
import importlib
import logging
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from redis.exceptions import RedisError
from taskiq import AsyncBroker, ScheduledTask, ScheduleSource, TaskiqScheduler
from taskiq.exceptions import TaskiqError

from ..settings import settings
from . import beat_schedule
from .broker import broker
from .schedule_entries import NEVER, Entry, ScheduleError, read_entries, zone_of
from .schedule_source import DurableSource, label_entries
from .schedule_store import LOOK, ScheduleKeys, View, instant
from .scheduler_agenda import Agenda, find_slot
from .scheduler_loop import SchedulerLoop
from .streams import StreamBroker

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Line:
    """An entry as `--list` shows it; all times are in UTC.

    Attributes:
        name: the entry.
        task: its task.
        schedule: when it is due, in words.
        last_run: when it was last sent; None: never.
        system: who sent it.
        next_due: when it is due next; None: never.
    """

    name: str
    task: str
    schedule: str
    last_run: datetime | None
    system: str
    next_due: datetime | None


class DurableScheduler(TaskiqScheduler):
    """TaskIQ's scheduler object, with a loop of its own beside TaskIQ's."""

    def __init__(
        self,
        broker: AsyncBroker,
        source: DurableSource,
        entries: Mapping[str, Mapping[str, Any]],
        zone: tzinfo,
        deadline: float | None = None,
    ) -> None:
        """Create the scheduler.

        Args:
            broker: sends the messages.
            source: takes entries at run time.
            entries: entries in Celery's form; they are read when it starts.
            zone: the zone of the application.
            deadline: see `Agenda`.

        """
        super().__init__(broker, [source])
        self.source = source
        self.zone = zone
        self._own = entries
        self._deadline = deadline
        self._running: asyncio.Task[None] | None = None

    def entries(self) -> dict[str, Entry]:
        """Return the entries of the code: those of the application, and the labels of its tasks.

        Raises:
            ScheduleError: an entry makes no sense.
        """
        return label_entries(self.broker) | read_entries(self._own)

    async def startup(self) -> None:
        """Start to send what is due."""
        entries = self.entries()
        loop = SchedulerLoop(self.broker, Agenda(entries, self.zone, self._deadline))
        for entry in entries.values():
            queue = entry.labels.get("queue_name")
            if queue is not None and queue not in getattr(self.broker, "queues", (queue,)):
                logger.warning("schedule entry %s: TASKIQ_QUEUES does not name %s", entry.name, queue)
            if self.broker.find_task(entry.task) is None:
                logger.warning(
                    "schedule entry %s: no module that was named defines %s", entry.name, entry.task
                )
        await super().startup()
        if settings.TASKIQ_HTTP_PORT and isinstance(self.broker, StreamBroker):
            from .probes import serve
            from .scheduler_probes import SchedulerProbes

            serve(SchedulerProbes(self.broker, loop))
        self._running = asyncio.create_task(loop.run(), name="scheduler")
        self._running.add_done_callback(_end_with)

    async def on_ready(self, source: ScheduleSource, task: ScheduledTask) -> None:
        """Send what TaskIQ's loop finds due in other sources."""
        if source is not self.source:
            await super().on_ready(source, task)

    async def shutdown(self) -> None:
        """Stop, and close the connections."""
        if self._running:
            self._running.cancel()
            await asyncio.wait([self._running])
        await super().shutdown()

    async def lines(self) -> list[Line]:
        """Return what is scheduled, by the next due time.

        Raises:
            ScheduleError: the broker has no Redis.
            redis.exceptions.RedisError: Redis cannot be reached.
        """
        if not isinstance(self.broker, StreamBroker):
            raise ScheduleError("last runs are kept in Redis; where tasks run in place there are none")
        keys = ScheduleKeys(self.broker.keys).seen
        view = View.of(await self.broker.redis.eval(LOOK, len(keys), *keys))
        lines = [self._line(entry, view) for entry in (self.entries() | view.stored_entries()).values()]
        return sorted(lines, key=lambda line: (line.next_due or NEVER, line.name))

    def _line(self, entry: Entry, view: View) -> Line:
        due = instant(find_slot(entry, view.last.get(entry.name, view.now), self.zone).due)
        at, system = view.runs.get(entry.name, (None, ""))
        last_run = None if at is None else instant(at)
        shown = repr(entry.schedule).strip("<>")
        return Line(entry.name, entry.task, shown, last_run, system, due if due < NEVER else None)


def _end_with(running: "asyncio.Task[None]") -> None:
    """End the process if the loop ended: a supervisor starts it again, a silent scheduler helps nobody."""
    if not running.cancelled() and (error := running.exception()):
        logger.critical("the scheduler has failed", exc_info=error)
        raise SystemExit(1)


source = DurableSource()
scheduler = DurableScheduler(
    broker,
    source,
    beat_schedule.beat_schedule,
    zone_of(beat_schedule.timezone),
    beat_schedule.starting_deadline,
)


async def serve(scheduler: TaskiqScheduler) -> None:
    """Run a scheduler until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await scheduler.startup()
    logger.info("the scheduler is running")
    await stopped.wait()
    await scheduler.shutdown()


async def show(scheduler: DurableScheduler) -> None:
    """Print what is scheduled, as a table with tabs."""
    print("entry\ttask\tschedule\tlast run\tby\tnext due")
    for line in await scheduler.lines():
        times = [
            time.isoformat(timespec="milliseconds") if time else "-"
            for time in (line.last_run, line.next_due)
        ]
        print(line.name, line.task, line.schedule, times[0], line.system or "-", times[1], sep="\t")
    await scheduler.broker.shutdown()


def main() -> None:
    """Run the scheduler, or list what is scheduled."""
    name = __spec__.name if __spec__ else __name__
    parser = argparse.ArgumentParser(prog=f"python -m {name}")
    parser.add_argument("modules", nargs="*", help="modules that define tasks")
    parser.add_argument("--list", action="store_true", help="print what is scheduled, and end")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="[%(asctime)s][%(name)s][%(levelname)s] %(message)s")
    for module in options.modules:
        importlib.import_module(module)
    # Not this module's own object: modules that import the scheduler mean the one under its real name.
    ours = importlib.import_module(name).scheduler
    try:
        asyncio.run(show(ours) if options.list else serve(ours))
    except (ScheduleError, RedisError, TaskiqError, OSError) as error:
        sys.exit(f"scheduler: {error}")


if __name__ == "__main__":
    main()
