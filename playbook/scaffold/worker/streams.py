"""A Redis stream as a task queue.

Invariant: a message that was sent is in the stream until a worker has acknowledged it, whoever was there
first, the sender or the worker; and an acknowledged message leaves nothing behind.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError
from taskiq import AckableMessage
from taskiq_redis import RedisStreamBroker


class StreamBroker(RedisStreamBroker):
    """taskiq-redis' stream broker without its ways to lose or to leave messages.

    Differences from `taskiq_redis.redis_broker.RedisStreamBroker` (1.2.4):

    - The consumer group starts at the beginning of the stream ("0"), not at its end ("$"). What was sent
      before the first worker came up is run, not lost.
    - When the group has vanished (Redis came back without its data), a worker declares it again and goes on.
    - Acknowledging a message deletes it in the same transaction. The stream holds open work only.
    - There is no socket time-out while a worker waits for messages: redis-py turns the cancellation of a
      stopping worker into a time-out error on Python 3.11, and the worker would not stop.
    - One message is read at a time, so that a worker holds no more than its own prefetch allows.
    """

    def __init__(self, url: str, queue_name: str, **options: Any) -> None:
        """Create a broker.

        Args:
            url: Redis URL.
            queue_name: key of the stream. The consumer group has the same name.
            options: further options of `RedisStreamBroker`.
        """
        super().__init__(
            url,
            queue_name=queue_name,
            consumer_group_name=queue_name,
            consumer_id="0",
            xread_count=1,
            socket_timeout=None,
            **options,
        )

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Yield messages, declaring the consumer group again whenever Redis has lost it."""
        while True:
            try:
                async for message in super().listen():
                    yield message
            except ResponseError as error:
                if not str(error).startswith("NOGROUP"):
                    raise
                await self._declare_consumer_group()

    def _ack_generator(self, id: str, queue_name: str) -> Callable[[], Awaitable[None]]:
        async def acknowledge() -> None:
            async with Redis(connection_pool=self.connection_pool).pipeline(transaction=True) as pipeline:
                pipeline.xack(queue_name, self.consumer_group_name, id)
                pipeline.xdel(queue_name, id)
                await pipeline.execute()

        return acknowledge
