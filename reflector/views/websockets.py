"""Events for browsers: one WebSocket per watched transcript, one per user. Clients only listen."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Header, WebSocket, WebSocketDisconnect, status
from fastapi.responses import JSONResponse

from reflector.db import get_session_context
from reflector.db.transcripts import transcripts_controller
from reflector.ws_manager import Resync, Subscription, get_ws_manager

router = APIRouter()


@router.websocket("/transcripts/{transcript_id}/events")
async def transcript_events(websocket: WebSocket, transcript_id: str) -> None:
    """All events of a transcript in order: first those that are stored, then each as it happens."""
    async with get_session_context() as session:
        known = await transcripts_controller.get_by_id(session, transcript_id) is not None
    if not known:
        await _refuse(websocket, status.HTTP_404_NOT_FOUND, f"There is no transcript {transcript_id}")
        return
    await websocket.accept()
    async with get_ws_manager().subscribe(f"ts:{transcript_id}") as subscription:
        await _until_disconnect(websocket, _send_events(websocket, transcript_id, subscription))


@router.websocket("/events")
async def user_events(
    websocket: WebSocket, x_user_id: Annotated[str | None, Header()] = None, user_id: str | None = None
) -> None:
    """What happens to a user's transcripts, from now on. Browsers, which set no headers, say `?user_id=`."""
    user = x_user_id or user_id
    if not user:
        await _refuse(websocket, status.HTTP_401_UNAUTHORIZED, "Say who you are: X-User-Id or ?user_id=")
        return
    await websocket.accept()
    async with get_ws_manager().subscribe(f"user:{user}") as subscription:
        await _until_disconnect(websocket, _send_messages(websocket, subscription))


async def _send_events(websocket: WebSocket, transcript_id: str, subscription: Subscription) -> None:
    """Send stored and live events in the order of their numbers, each once.

    A live event that does not follow the last one sent means that some are missing here, or arrived out of
    order because two processes published at the same time. The database has them: an event is published after
    its commit, and numbers are committed in order.
    """
    last = 0
    while True:
        item = await subscription.get()
        if not isinstance(item, Resync):
            if item.seq is not None and item.seq <= last:
                continue
            if item.seq is None or item.seq == last + 1:
                await websocket.send_json(item.message)
                last = item.seq or last
                continue
        async with get_session_context() as session:
            events = await transcripts_controller.get_events(session, transcript_id, after=last)
        for event in events:
            await websocket.send_json(event.as_message())
            last = event.sequence


async def _send_messages(websocket: WebSocket, subscription: Subscription) -> None:
    """Send messages as they come; when some are lost, end, because they are stored nowhere."""
    await subscription.get()  # the first item says that nothing later can be missed
    while not isinstance(item := await subscription.get(), Resync):
        await websocket.send_json(item.message)
    await websocket.close(status.WS_1013_TRY_AGAIN_LATER, "Some messages may have been missed")


async def _until_disconnect(websocket: WebSocket, sending: Coroutine[Any, Any, None]) -> None:
    """Run `sending` until it ends or the client leaves."""
    tasks = [asyncio.create_task(sending), asyncio.create_task(_disconnected(websocket))]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not isinstance(task.exception(), WebSocketDisconnect):
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _disconnected(websocket: WebSocket) -> None:
    """Return when the client has left. What it sends before means nothing."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


async def _refuse(websocket: WebSocket, code: int, detail: str) -> None:
    await websocket.send_denial_response(JSONResponse({"detail": detail}, code))
