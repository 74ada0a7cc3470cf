"""A Redis stream as a task queue that loses nothing.

Invariants: a message that was sent is in Redis until a worker has written its outcome; the outcome (result,
acknowledgement, what is sent next) is one atomic step; a worker holds no more messages than it runs; work of
a worker that is gone is given to others. A task may run more than once, if its worker dies while it runs.
"""

import asyncio
import logging
import os
import re
import socket
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from redis.exceptions import ResponseError
from taskiq import AckableMessage, AsyncBroker, BrokerMessage, TaskiqMessage
from taskiq_redis import RedisStreamBroker

from . import lua, lua_steps
from .batches import Batches
from .connections import ERRORS, TIMEOUT, async_client, is_cluster, is_outage, pool_options, pool_url
from .errors import Reject, TaskRevokedError, WorkerLostError
from .intake import Refused, take
from .keeper import Keeper, Pulse, Rules, drain_on_signals
from .keys import GROUP, Keys
from .messages import Delivery, Entry, Outgoing
from .reader import Reader
from .results import StreamResults, error_result
from .serialization import MessageFormatter
from .steps import args_of_finish

logger = logging.getLogger(__name__)

SEND_PAUSES = (0.0, 0.2, 0.4)
"""Seconds before each further attempt to send; Celery's default (`task_publish_retry_policy`)."""

WAIT = 0.05
"""Seconds that a message which has been read waits here until it is given back."""


class StreamBroker(RedisStreamBroker):
    """taskiq-redis' stream broker, with leases, dead letters, delays and one-step completion.

    Of the parent (`taskiq_redis.redis_broker.RedisStreamBroker` 1.2.4) the connection pool and the names
    stay; sending, reading and acknowledging are replaced.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "{taskiq}",
        queues: Sequence[str] = ("default",),
        lease: float = 30.0,
        max_deliveries: int = 5,
        stop_timeout: float | None = None,
        result_ttl: int = 86_400,
        workflow_ttl: int = 604_800,
    ) -> None:
        """Create a broker.

        Args:
            url: where Redis is (`connections`).
            prefix: begins every key; on a cluster it must hold a hash tag.
            queues: queues that workers read; the first takes messages that name none.
            lease: seconds after a worker's last heartbeat until others may take over its tasks.
            max_deliveries: how many workers may die over a message until it is a dead letter.
            stop_timeout: seconds that running tasks have when the worker stops. Then they are handed back and
                the process ends. None: as long as they need.
            result_ttl: seconds that results are kept.
            workflow_ttl: seconds that a workflow in which nothing happens is kept.

        Raises:
            ValueError: one of these makes no sense.
        """
        if not queues or not all(queues):
            raise ValueError(f"queues = {list(queues)}: name at least one queue, and none without a name")
        if lease <= 0 or max_deliveries < 1 or result_ttl < 1 or workflow_ttl < 1:
            raise ValueError(
                f"lease = {lease}, max_deliveries = {max_deliveries}, result_ttl = {result_ttl}, "
                f"workflow_ttl = {workflow_ttl}: the first must be positive, the others at least 1"
            )
        if is_cluster(url) and not re.search("{.+}", prefix):
            raise ValueError(f"prefix = {prefix!r}: on a cluster it must hold a hash tag, as in {{taskiq}}")
        self.keys = Keys(prefix)
        self.queues = tuple(queues)
        self._queue_of = {
            key(queue): queue for queue in queues for key in (self.keys.stream, self.keys.suspects)
        }
        super().__init__(
            pool_url(url),
            queue_name=self.keys.stream(self.queues[0]),
            consumer_group_name=GROUP,
            **pool_options(),
        )
        self.redis = async_client(url, self.connection_pool)
        self.formatter: MessageFormatter = DeliveryFormatter(self)
        self.result_ttl, self.workflow_ttl = result_ttl, workflow_ttl
        self.result_backend = StreamResults(self)
        self.deliveries: dict[str, Delivery] = {}
        self.on_end: Callable[[Delivery], None] | None = None
        """Told of every delivery when its outcome is written."""
        self.consumer_name = ""
        self.url, self.lease = url, lease
        self._rules = Rules(
            lease=lease,
            max_deliveries=max_deliveries,
            stop_timeout=stop_timeout,
            lost_result=error_result(
                WorkerLostError(f"{max_deliveries} workers died while they ran this task")
            ),
            result_ttl=result_ttl,
            workflow_ttl=workflow_ttl,
        )
        self._run_script = {
            name: self.redis.register_script(getattr(lua, name))
            for name in ("SEND", "COMPLETE", "BURY", "HAND_BACK")
        }
        self.run_step = {
            name: self.redis.register_script(getattr(lua_steps, name))
            for name in ("START", "FINISH", "REVOKE", "STATUS")
        }
        self._outcomes = Batches(self._write_outcomes)
        self._reader: Reader | None = None
        self._giving_back: asyncio.Task[Any] | None = None
        self._keeper: Keeper | None = None
        self._pulse = Pulse(offset=0.0, suspects=False)
        self._beating = asyncio.Event()
        self._failing: set[asyncio.Task[None]] = set()

    # Sending

    async def kick(self, message: BrokerMessage) -> None:
        """Send a message, at once or for later.

        A message may arrive twice if the connection breaks between Redis' write and its answer.

        Args:
            message: see `Outgoing.of` for the labels that matter.

        Raises:
            redis.exceptions.RedisError: Redis cannot be reached.
        """
        await self.send(Outgoing.of(message, self.queues[0]))

    async def send(self, outgoing: Outgoing) -> None:
        """Send a message that is ready; see `kick`."""
        await self.ask(partial(self._send, outgoing))

    async def _send(self, outgoing: Outgoing) -> None:
        if outgoing.due or outgoing.expires or outgoing.step:
            await self._run_script["SEND"](outgoing.keys(self.keys), outgoing.args())
        else:
            fields = {"id": outgoing.task_id, "data": outgoing.data}
            await self.redis.xadd(self.keys.stream(outgoing.queue), fields)

    async def ask(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Return Redis' answer to a sender's call, which is made again if the connection breaks.

        Raises:
            redis.exceptions.RedisError: Redis cannot be reached, or refuses.
        """
        for pause in (*SEND_PAUSES, None):
            try:
                async with asyncio.timeout(TIMEOUT):
                    return await call()
            except ERRORS as error:
                if pause is None or not is_outage(error):
                    raise
                await asyncio.sleep(pause)

    # Receiving

    async def startup(self) -> None:
        """Call the start-up handlers. A sender needs no consumer group, and a worker can wait for Redis."""
        await AsyncBroker.startup(self)

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Yield what this worker may run. The data of a message is the handle of its delivery."""
        keeper = await self._begin()
        declare = partial(self._insist, self._declare_consumer_group)
        reader = Reader(self.redis, self.keys, self.queues, self.consumer_name, declare)
        self._reader = reader
        try:
            await declare()
            while True:
                entries = deque(await reader.fetch(self.deliveries, self._pulse.suspects))
                while entries:
                    entry = entries.popleft()
                    # What has been read and does not run yet will soon end, too, if it is short.
                    self._outcomes.expect(bool(entries))
                    if delivery := await self._accept(entry):
                        self.deliveries[delivery.handle] = delivery
                        limit = self._limit_the_wait(entries) if entries else None
                        acknowledge = partial(self._complete, delivery)
                        try:
                            yield AckableMessage(data=delivery.handle.encode(), ack=acknowledge)
                        finally:
                            if limit:
                                limit.cancel()
                if self._giving_back:
                    # What is read meanwhile would go back as well.
                    await self._giving_back
                    self._giving_back = None
        finally:
            self._outcomes.expect(False)
            if self._giving_back:
                self._giving_back.cancel()
                self._giving_back = None
            keeper.drain()
            await self._insist(self._hand_back, limit=TIMEOUT)

    def _limit_the_wait(self, entries: deque[Entry]) -> asyncio.TimerHandle:
        """Give entries back that have been read ahead, if they cannot start soon."""

        def give_back() -> None:
            if entries:
                entries.clear()
                self._outcomes.expect(False)
                self._giving_back = asyncio.ensure_future(self._insist(self._hand_back))

        return asyncio.get_running_loop().call_later(WAIT, give_back)

    async def _begin(self) -> Keeper:
        """Start the heartbeat and wait for the first."""
        if self._keeper is None:
            # Not before: processes that were forked from one that had imported the broker need names of
            # their own.
            self.consumer_name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
            self._beating = asyncio.Event()
            loop = asyncio.get_running_loop()
            self._keeper = Keeper(
                self.url, self.keys, self.queues, self.consumer_name, self._rules, self._pulse_for(loop)
            )
            self._keeper.start()
            if self._rules.stop_timeout is not None:
                drain_on_signals(self._keeper)
        self._keeper.resume()
        await self._beating.wait()
        return self._keeper

    def _pulse_for(self, loop: asyncio.AbstractEventLoop) -> Callable[[Pulse], None]:
        def feel(pulse: Pulse) -> None:
            self._pulse = pulse
            self._beating.set()

        def pulse(found: Pulse) -> None:
            # Waking the loop has a second use: a signal does not interrupt a loop that waits for I/O.
            if not loop.is_closed():
                loop.call_soon_threadsafe(feel, found)

        return pulse

    async def _declare_consumer_group(self) -> None:
        """Declare the groups, from the beginning of the streams."""
        for stream in self._queue_of:
            try:
                await self.redis.xgroup_create(stream, GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    async def _accept(self, entry: Entry) -> Delivery | None:
        """Return the delivery of an entry, or None after putting aside what is not to be run."""
        queue = self._queue_of[entry.stream]
        found = take(entry, queue, self.find_task)
        if isinstance(found, Refused):
            await self._bury(entry, queue, found)
            return None
        if reason := self._reason_not_to_start(found):
            logger.info(
                "task %s (%s) does not start: %s", found.message.task_id, found.message.task_name, reason
            )
            found.outcome.result, found.outcome.revoked = error_result(reason), True
            await self._complete(found)
            return None
        return found

    def _reason_not_to_start(self, delivery: Delivery) -> Exception | None:
        if delivery.message.task_id in self._pulse.revoked:
            return TaskRevokedError("revoked")
        if delivery.expires is not None and self.now_ms() >= delivery.expires:
            return TaskRevokedError("expired")
        return None

    def now_ms(self) -> int:
        """Return the time by Redis' clock (ms)."""
        return int((time.monotonic() + self._pulse.offset) * 1000)

    # Finishing

    async def _complete(self, delivery: Delivery) -> None:
        """Write the outcome of a delivery, in one call; wait for Redis as long as it takes."""
        if delivery.done:
            return
        outcome = delivery.outcome
        if outcome.rejected is not None:
            return await self._reject(delivery, outcome.rejected)
        if outcome.successor or (delivery.step and outcome.kind):
            # Only `retry(throw=False)` asks for another attempt of a task that has a result.
            for outgoing in outcome.sends:
                await self._insist(partial(self._send, outgoing))
            written = await self._finish_step(delivery)
        else:
            written = await self._outcomes.put(delivery)
        self._close(delivery)
        if not written:
            logger.warning(
                "the outcome of task %s was not written: it was no longer this worker's, or it had been "
                "written before the connection broke",
                delivery.message.task_id,
            )

    async def _write_outcomes(self, deliveries: Sequence[Delivery]) -> Sequence[int]:
        """Write outcomes in one step; return for each whether it was written."""
        keys: list[str] = []
        args: list[Any] = [GROUP]
        for delivery in deliveries:
            outcome = delivery.outcome
            keys += [delivery.stream, self.keys.result(delivery.message.task_id)]
            args += [delivery.entry, outcome.result, self.result_ttl, len(outcome.sends)]
            for outgoing in outcome.sends:
                keys += outgoing.keys(self.keys)
                args += outgoing.args()
        written: Sequence[int] = await self._insist(partial(self._run_script["COMPLETE"], keys, args))
        return written

    async def _finish_step(self, delivery: Delivery) -> int:
        """Write the outcome of a workflow's step, and start what follows; return the script's answer."""
        keys, args = args_of_finish(delivery, self.keys, (self.result_ttl, self.workflow_ttl))
        answer = int(await self._insist(partial(self.run_step["FINISH"], keys, args)))
        if answer == 2:
            logger.error(
                "the workflow of task %s has expired: nothing follows it; its message is a dead letter",
                delivery.message.task_id,
            )
        return answer

    def _close(self, delivery: Delivery) -> None:
        delivery.done = True
        if self._reader:
            self._reader.ended()
        self.deliveries.pop(delivery.handle, None)
        if self.on_end:
            self.on_end(delivery)

    async def _reject(self, delivery: Delivery, error: Reject) -> None:
        refused = Refused(f"the task rejected it: {error.reason}", delivery.message.task_id, error)
        await self._bury(Entry(delivery.stream, delivery.entry, None), delivery.queue, refused)
        self._close(delivery)

    def watch(self, delivery: Delivery) -> None:
        """Make sure that a delivery ends, even if TaskIQ itself fails while it handles it."""
        handler = asyncio.current_task()
        assert handler is not None
        handler.add_done_callback(partial(self._settle, delivery))

    def _settle(self, delivery: Delivery, handler: "asyncio.Task[Any]") -> None:
        if delivery.done or handler.cancelled() or (error := handler.exception()) is None:
            return
        # What lies between TaskIQ's own try blocks, such as the parsing of arguments, ends here.
        task = asyncio.ensure_future(self._fail(delivery, error))
        self._failing.add(task)
        task.add_done_callback(self._failing.discard)

    async def _fail(self, delivery: Delivery, error: BaseException) -> None:
        logger.error("task %s could not be handled", delivery.message.task_id, exc_info=error)
        entry = Entry(delivery.stream, delivery.entry, None)
        refused = Refused(f"the worker could not handle it: {error!r}", delivery.message.task_id, error)
        await self._bury(entry, delivery.queue, refused)
        delivery.outcome.failed = True
        self._close(delivery)

    async def _bury(self, entry: Entry, queue: str, refused: Refused) -> None:
        """Move an entry to the dead letters, and tell the caller if the task's id is known."""
        logger.error("entry %s of queue %s is a dead letter: %s", entry.id, queue, refused.reason)
        letter = [GROUP, entry.id, queue, refused.reason, refused.task_id, error_result(refused.error)]
        args = [*letter, self.keys.prefix, self.result_ttl, self.workflow_ttl]
        await self._insist(partial(self._run_script["BURY"], [entry.stream, self.keys.dead], args))

    async def _hand_back(self) -> None:
        """Give back what was read and is not running here."""
        await self._run_script["HAND_BACK"](
            list(self._queue_of), [GROUP, self.consumer_name, *self.deliveries]
        )

    async def shutdown(self) -> None:
        """Hand back what still runs, end the lease and close the connections."""
        if self._failing:
            await asyncio.wait(self._failing, timeout=TIMEOUT)
        if self._keeper:
            self.deliveries.clear()
            await self._insist(self._hand_back, limit=1)
            await asyncio.to_thread(self._keeper.stop)
            self._keeper = None
        await super().shutdown()
        await self.redis.aclose()

    async def _insist(self, call: Callable[[], Awaitable[Any]], limit: float | None = None) -> Any:
        """Call until Redis answers, or for `limit` seconds; return the answer, None if there was none."""
        pause, ends = 0.05, None if limit is None else time.monotonic() + limit
        while True:
            try:
                async with asyncio.timeout(TIMEOUT):
                    return await call()
            except ERRORS as error:
                if not is_outage(error):
                    raise
                if ends is not None and time.monotonic() + pause > ends:
                    logger.warning("gave up: %s", error)
                    return None
                await asyncio.sleep(pause)
                pause = min(1.0, pause * 2)


class DeliveryFormatter(MessageFormatter):
    """Turns the handle that `listen` gives to TaskIQ into the message that was already parsed."""

    def __init__(self, broker: StreamBroker) -> None:
        super().__init__()
        self._broker = broker

    def loads(self, message: bytes) -> TaskiqMessage:
        """Return the message of a delivery; what is no handle is read as a message."""
        delivery = self._broker.deliveries.get(message.decode())
        if delivery is None:
            return super().loads(message)
        return delivery.message
