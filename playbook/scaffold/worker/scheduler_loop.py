"""Claim every slot when it is due.

Each replica does the same: it waits for the next slot, claims it, and learns from the answer whether it was
the one. None leads, so there is nothing to take over when one dies. An entry that is new waits for its first
slot; a slot that was missed is made up once (celery/beat.py), for crontabs not after the deadline.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from taskiq import AsyncBroker, TaskiqMessage
from taskiq.labels import prepare_label
from taskiq.utils import maybe_awaitable

from .connections import ERRORS, TIMEOUT, is_outage
from .messages import Outgoing
from .schedule_entries import Entry, ScheduleError
from .schedule_store import CLAIM, LOOK, Answer, Claim, ScheduleKeys, Slot, View, claim_call, instant
from .scheduler_agenda import AGAIN, Agenda
from .streams import StreamBroker

logger = logging.getLogger(__name__)

AFTER_ERROR = 1.0
"""Seconds until the next try with an entry whose message could not be made."""

PUNCTUAL = 0.003
"""Seconds for which a replica watches the clock before a slot: timers come a millisecond or two late."""

BATCH = 50
"""Most slots of one claim: Redis does nothing else meanwhile."""

taskiq_share: Callable[[str], int] | None = None
"""TaskIQ's percentage of a task's slots if no live route says otherwise; None: all are TaskIQ's.

Dual mode sets it (`schedule_routes`).
"""


def own_labels(task: Any) -> dict[str, Any]:
    """Return the labels that a task gives all its messages."""
    return dict(task.labels)


task_labels: Callable[[Any], dict[str, Any]] = own_labels
"""As `own_labels`; dual mode sets one that knows twins (`schedule_routes`)."""


class SchedulerLoop:
    """One replica of the scheduler."""

    def __init__(self, broker: AsyncBroker, agenda: Agenda) -> None:
        """Create a replica; `run` it.

        Raises:
            ScheduleError: the broker has no Redis.
        """
        if not isinstance(broker, StreamBroker):
            raise ScheduleError("the scheduler needs Redis; where tasks run in place nothing is scheduled")
        self._broker = broker
        self._agenda = agenda
        self._names = ScheduleKeys(broker.keys)
        self._look_script = broker.redis.register_script(LOOK)
        self._claim_script = broker.redis.register_script(CLAIM)
        self._own = set(agenda.entries)
        self.overdue = agenda.overdue
        self.on_sent: Callable[[Slot, Answer], None] | None = None
        """Told of every slot whose message this replica has sent."""
        self.turned, self.answered = time.monotonic(), float("-inf")
        """When the loop turned, and when Redis answered, the last time (monotonic clock, s)."""

    async def run(self) -> None:
        """Send what is due, until cancelled. While Redis is away it waits."""
        reachable, pruned = True, False
        while True:
            self.turned = time.monotonic()
            try:
                async with asyncio.timeout(TIMEOUT):
                    if not pruned:
                        await self._prune()
                        pruned = True
                    await self._step()
                if not reachable:
                    logger.warning("Redis is back, the schedule goes on")
                pause, reachable = self._agenda.pause(), True
                self.answered = time.monotonic()
            except ERRORS as error:
                if not is_outage(error):
                    raise
                if reachable:
                    logger.warning("the schedule waits for Redis: %s", error)
                pause, reachable = AGAIN, False
            await _sleep(pause)

    async def _prune(self) -> None:
        """Forget the last runs of entries that are gone: if they come back they are new, as for beat."""
        view = await self._look()
        if gone := set(view.last) - self._own - set(view.entries):
            await self._broker.redis.hdel(self._names.last, *gone)
            await self._broker.redis.hdel(self._names.runs, *gone)

    async def _step(self) -> None:
        if self._agenda.stale:
            await self._look()
        due = self._agenda.due()
        for start in range(0, len(due), BATCH):
            await self._claim(due[start : start + BATCH])

    async def _look(self) -> View:
        view = View.of(await self._look_script(self._names.seen))
        self._agenda.see(view)
        return view

    async def _claim(self, slots: Sequence[Slot]) -> None:
        made = [found for slot in slots if (found := await self._make(slot))]
        if not made:
            return
        keys, args = claim_call(self._names, [claim for claim, _ in made])
        answers = Answer.all(await self._claim_script(keys, args))
        for (claim, message), answer in zip(made, answers, strict=True):
            slot = claim.slot
            self._agenda.heed(slot, answer)
            if answer.status != "sent":
                continue
            done = "sent" if message else "too late, let go:"
            logger.info("schedule: %s %s (%s), due at %s", done, slot.entry, slot.task, instant(slot.due))
            if message:
                if self.on_sent:
                    self.on_sent(slot, answer)
                for middleware in reversed(self._broker.middlewares):
                    await maybe_awaitable(middleware.post_send(message))

    async def _make(self, slot: Slot) -> tuple[Claim, TaskiqMessage | None] | None:
        """Return the claim of a slot with its message; None if there can be none: the other entries go on."""
        entry = self._agenda.entries[slot.entry]
        share = taskiq_share(entry.task) if taskiq_share and entry.routed else None
        if self._agenda.is_too_late(slot):
            return Claim(slot, "taskiq", share, counts=False), None
        try:
            message = await self._message(entry, instant(slot.due).isoformat())
            outgoing = Outgoing.of(self._broker.formatter.dumps(message), self._broker.queues[0])
        except Exception:
            logger.exception("schedule: %s cannot be sent", slot.entry)
            self._agenda.hold(slot, AFTER_ERROR)
            return None
        return Claim(slot, "taskiq", share, send=outgoing), message

    async def _message(self, entry: Entry, scheduled_for: str) -> TaskiqMessage:
        """Return the message of a slot, as `kiq` makes it (taskiq/kicker.py)."""
        task = self._broker.find_task(entry.task)
        labels: dict[str, Any] = {**(task_labels(task) if task else {}), **entry.labels}
        labels |= {"schedule_id": entry.name, "scheduled_for": scheduled_for}
        prepared = {name: prepare_label(value) for name, value in labels.items() if name != "schedule"}
        message = TaskiqMessage(
            task_id=uuid.uuid4().hex,
            task_name=entry.task,
            labels={name: text for name, (text, _) in prepared.items()},
            labels_types={name: kind for name, (_, kind) in prepared.items()},
            args=list(entry.args),
            kwargs=dict(entry.kwargs),
        )
        for middleware in self._broker.middlewares:
            message = await maybe_awaitable(middleware.pre_send(message))
        return message


async def _sleep(seconds: float) -> None:
    """Sleep, and wake in time."""
    ends = time.monotonic() + seconds
    await asyncio.sleep(seconds - PUNCTUAL)
    while time.monotonic() < ends:  # noqa: ASYNC110 - nothing but the clock tells that it is time
        await asyncio.sleep(0)
