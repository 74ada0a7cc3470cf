"""An HTTP and WebSocket application that needs no framework."""

import json
from typing import Any


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        for number in range(3):
            await send({"type": "websocket.send", "text": json.dumps({"number": number})})
        while (await receive())["type"] != "websocket.disconnect":
            pass
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200 if scope["path"] == "/health" else 404})
        await send({"type": "http.response.body", "body": b"ok"})
