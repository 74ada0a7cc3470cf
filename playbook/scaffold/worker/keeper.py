"""The heartbeat of a worker.

Invariant: as long as this process lives, its lease does; nothing that a task does to the event loop can stop
the heartbeat, because it runs in a thread of its own, with a connection of its own. The same beat releases
delayed messages that are due, and hands the work of dead workers to the living.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType

from . import lua
from .connections import ERRORS, client, is_outage
from .keys import GROUP, Keys

logger = logging.getLogger(__name__)

BEAT = 0.2
"""Seconds between two heartbeats: how late a delayed message can be at most."""

GRACE = 1.0
"""Seconds after the end of its lease until a worker is declared dead."""

SUSPECT_DEATHS = 2
"""From so many dead workers on, a worker runs such messages one at a time, so that the guilty is found."""

BATCH = 100
EXIT_STATUS = 75


@dataclass(frozen=True)
class Pulse:
    """What a heartbeat found.

    Attributes:
        offset: Redis' clock minus this process' monotonic clock (s).
        suspects: whether a queue has messages that have seen workers die.
        revoked: ids of tasks that must not start.
    """

    offset: float
    suspects: bool
    revoked: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rules:
    """How a worker lives and dies.

    Attributes:
        lease: seconds after the last heartbeat until others may take over.
        max_deliveries: deliveries of one message that end with a dead worker, until it is a dead letter.
        stop_timeout: seconds that running tasks have when the worker stops; None: as long as they need.
        lost_result: what the caller of a task with too many dead workers gets.
        result_ttl: seconds that results are kept.
        workflow_ttl: seconds that a workflow in which nothing happens is kept.
    """

    lease: float
    max_deliveries: int
    stop_timeout: float | None
    lost_result: bytes
    result_ttl: int
    workflow_ttl: int


class Keeper:
    """Beats for one worker, from `start` to `stop`."""

    def __init__(
        self,
        url: str,
        keys: Keys,
        queues: Sequence[str],
        worker: str,
        rules: Rules,
        on_pulse: Callable[[Pulse], None],
    ) -> None:
        """Create a keeper.

        Args:
            url: where Redis is.
            keys: names of the keys.
            queues: the queues that the worker reads.
            worker: the worker's name.
            rules: lease and limits.
            on_pulse: called after each heartbeat, in the keeper's thread.
        """
        self._redis = client(url)
        self._scripts = {name: self._redis.register_script(getattr(lua, name)) for name in ("TICK", "LEAVE")}
        self._hand_back = self._redis.register_script(lua.HAND_BACK)
        self._keys = keys
        self._queues = tuple(queues)
        self._worker = worker
        self._rules = rules
        self._on_pulse = on_pulse
        self._stop = threading.Event()
        self._deadline: float | None = None
        self._held: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def drain(self) -> None:
        """Give the running tasks `stop_timeout` seconds, counted from now."""
        if self._rules.stop_timeout is not None and self._deadline is None:
            self._deadline = time.monotonic() + self._rules.stop_timeout

    def resume(self) -> None:
        """Take a `drain` back: the worker listens again."""
        self._deadline = None

    def stop(self) -> None:
        """End the heartbeat and the lease. Blocks shortly."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(BEAT * 5)
        try:
            self._scripts["LEAVE"]([self._keys.workers(queue) for queue in self._queues], [self._worker])
        except ERRORS as error:
            logger.warning("%s could not give up its lease, it ends by itself: %s", self._worker, error)
        self._redis.close()

    def _run(self) -> None:
        pause, reachable = 0.0, True
        while not self._stop.wait(pause):
            try:
                pause = self._beat()
                if not reachable:
                    logger.warning("the heart beats again")
                reachable = True
            except Exception as error:
                if reachable:
                    known = is_outage(error)
                    logger.warning("no heartbeat, tasks go on: %s", error, exc_info=None if known else error)
                pause, reachable = BEAT, False
            if self._deadline is not None and time.monotonic() >= self._deadline:
                self._give_up()

    def _beat(self) -> float:
        """Beat once for each queue; return the seconds until the next beat."""
        started = time.monotonic()
        suspects, pause, revoked = False, BEAT, set[str]()
        for queue in self._queues:
            answer = self._scripts["TICK"](self._tick_keys(queue), self._tick_args(queue))
            now, due, waiting, held, ids = answer
            suspects |= bool(waiting)
            revoked |= {id.decode() for id in ids}
            if due:
                pause = min(pause, max(0.001, (int(due) - int(now)) / 1000))
            if not held and queue in self._held:
                logger.warning("%s had lost its lease on %s: others may run its tasks", self._worker, queue)
            self._held.add(queue)
        self._on_pulse(Pulse(int(now) / 1000 - started, suspects, frozenset(revoked)))
        return pause

    def _tick_keys(self, queue: str) -> list[str]:
        keys = self._keys
        names = (keys.stream, keys.suspects, keys.delayed, keys.payloads, keys.workers, keys.watch)
        return [*(name(queue) for name in names), keys.dead, keys.revoked]

    def _tick_args(self, queue: str) -> list[str | bytes | int]:
        rules = self._rules
        lease, grace = int(rules.lease * 1000), int(GRACE * 1000)
        kept: list[str | bytes | int] = [rules.lost_result, rules.result_ttl, rules.workflow_ttl]
        limits = [SUSPECT_DEATHS, rules.max_deliveries, BATCH]
        return [GROUP, self._worker, lease, grace, queue, self._keys.prefix, *kept, *limits]

    def _give_up(self) -> None:
        """Hand back what still runs and end the process: a task that will not end cannot be stopped."""
        logger.warning("the time to stop is over: %s hands back what it still runs", self._worker)
        try:
            keys = [key(queue) for queue in self._queues for key in (self._keys.stream, self._keys.suspects)]
            self._hand_back(keys, [GROUP, self._worker])
            self._scripts["LEAVE"]([self._keys.workers(queue) for queue in self._queues], [self._worker])
        except ERRORS as error:
            logger.warning("that failed; others take over when the lease ends: %s", error)
        os._exit(EXIT_STATUS)


def drain_on_signals(keeper: Keeper) -> None:
    """Start the time to stop when a signal asks for it, even if a task blocks the event loop.

    The handlers that are there, TaskIQ's, are called afterwards. Only a main thread can have handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        present = signal.getsignal(number)

        def handle(number: int, frame: FrameType | None, present: object = present) -> None:
            keeper.drain()
            if callable(present):
                present(number, frame)

        signal.signal(number, handle)
