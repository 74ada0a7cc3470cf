"""Events on their way from any process to the browsers, over Redis pub/sub.

A *room* is a Redis channel: `ts:{transcript_id}` for those who watch one transcript, `user:{user_id}` for one
user's pages. Any process publishes with `send_json`. The API process holds one subscriber connection for all
of its sockets and hands what arrives to each of them through a queue of its own, so that nobody waits for a
slow socket.

Pub/sub forgets what nobody hears. A subscriber is therefore told (`RESYNC`) whenever it may have missed
something: at the start, after Redis was away, and when its queue overflowed. It then reads what it lacks from
the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from typing import Any, Final, Literal

from pydantic import BaseModel, ValidationError
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from reflector.logger import logger
from reflector.settings import settings

QUEUE_SIZE = 1000  # messages that one socket may lag behind
RECONNECT_SECONDS = 0.5
# The subscriber always listens to this channel, so that it can wait for messages before the first room
# exists.
IDLE_CHANNEL = "ws:idle"


class Published(BaseModel):
    """A message as it travels over Redis. `seq` numbers the events of one transcript from 1."""

    message: dict[str, Any]
    seq: int | None = None


class Resync:
    """The mark in a subscription that messages before it may be missing."""


RESYNC: Final = Resync()


class Subscription:
    """What one socket still has to send, in order."""

    def __init__(self) -> None:
        # Whether messages may be missing that no RESYNC accounts for yet.
        self.stale = True
        self._queue: asyncio.Queue[Published | Resync] = asyncio.Queue(QUEUE_SIZE)

    async def get(self) -> Published | Resync:
        """Wait for the next item."""
        return await self._queue.get()

    def put(self, item: Published | Resync) -> None:
        """Add an item without waiting. On overflow all that waits is dropped in favour of one `RESYNC`."""
        if self._queue.full():
            while not self._queue.empty():
                self._queue.get_nowait()
            item = RESYNC
        self._queue.put_nowait(item)


class WebsocketManager:
    """Publishes from any process; fans out in the process that called `start`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._rooms: dict[str, set[Subscription]] = {}
        # Keeps the commands to Redis in the order of the changes to `_rooms`.
        self._commands = asyncio.Lock()
        self._pubsub: PubSub | None = None
        self._listener: asyncio.Task[None] | None = None

    async def send_json(self, room_id: str, message: dict[str, Any], *, seq: int | None = None) -> None:
        """Publish `message` to everybody in the room; `seq` is the number of the stored event, if it is one.

        The connection lives for this call only. A task's event loop ends with the task, and a kept connection
        would either leak or be used from the wrong loop. Raises `redis.exceptions.RedisError`.
        """
        payload = Published(message=message, seq=seq).model_dump_json()
        async with Redis.from_url(self._url) as client:
            await client.publish(room_id, payload)

    async def start(self) -> None:
        """Begin to listen in the background. Redis may be away; the manager keeps trying."""
        self._listener = asyncio.create_task(self._listen_forever(), name="ws_manager")

    async def stop(self) -> None:
        """End the background task and close its connection."""
        if self._listener is not None:
            self._listener.cancel()
            with suppress(asyncio.CancelledError):
                await self._listener
            self._listener = None

    @asynccontextmanager
    async def subscribe(self, room_id: str) -> AsyncIterator[Subscription]:
        """A subscription to the room. It gets a `RESYNC` as soon as nothing later can be missed."""
        subscription = Subscription()
        try:
            async with self._commands:
                self._rooms.setdefault(room_id, set()).add(subscription)
                # Also for a room that is subscribed to already: Redis confirms each SUBSCRIBE, and the
                # confirmation, which arrives in order with the messages, is what triggers the RESYNC.
                await self._send("subscribe", room_id)
            yield subscription
        finally:
            async with self._commands:
                subscriptions = self._rooms.setdefault(room_id, set())
                subscriptions.discard(subscription)
                if not subscriptions:
                    del self._rooms[room_id]
                    await self._send("unsubscribe", room_id)

    async def _send(self, command: Literal["subscribe", "unsubscribe"], room_id: str) -> None:
        """Tell Redis about one room. When it is away, the listener does so for all rooms on its return."""
        if self._pubsub is not None:
            with suppress(RedisError, OSError):
                await getattr(self._pubsub, command)(room_id)

    async def _listen_forever(self) -> None:
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                logger.warning("No connection to Redis for WebSocket events, trying again", error=str(error))
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> None:
        """Hand out messages until the connection breaks."""
        # No retries inside the client: a break must come up here, where all rooms are subscribed anew.
        retry = Retry(NoBackoff(), 0)
        async with (
            # No read timeout either: silence is normal here, and on Python 3.11 a timeout of the client can
            # swallow the cancellation that `stop` sends.
            Redis.from_url(self._url, retry=retry, socket_timeout=None, socket_keepalive=True) as client,
            client.pubsub() as pubsub,
        ):
            await pubsub.connect()
            try:
                # From here on `subscribe` sends its own commands; the list of rooms is taken at once.
                self._pubsub = pubsub
                for room_id in self._rooms:
                    self._mark_stale(room_id)
                await pubsub.subscribe(IDLE_CHANNEL, *self._rooms)
                async for message in pubsub.listen():
                    self._deliver(message)
            finally:
                self._pubsub = None

    def _deliver(self, message: dict[str, Any]) -> None:
        room_id = message["channel"].decode()
        match message["type"]:
            case "message":
                self._publish(room_id, message["data"])
            case "subscribe":
                for subscription in self._rooms.get(room_id, ()):
                    if subscription.stale:
                        subscription.stale = False
                        subscription.put(RESYNC)
            case "unsubscribe":
                # Somebody came back to the room before this was through; the next "subscribe" is theirs.
                self._mark_stale(room_id)

    def _publish(self, room_id: str, data: bytes) -> None:
        try:
            item = Published.model_validate_json(data)
        except ValidationError as error:
            logger.warning("Ignored a foreign message in a WebSocket room", room=room_id, error=str(error))
            return
        for subscription in self._rooms.get(room_id, ()):
            subscription.put(item)

    def _mark_stale(self, room_id: str) -> None:
        for subscription in self._rooms.get(room_id, ()):
            subscription.stale = True


@lru_cache(maxsize=1)
def get_ws_manager() -> WebsocketManager:
    """The process's manager."""
    return WebsocketManager(settings.REDIS_URL)
