"""A real WebSocket client that writes down what it receives, in order."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from playbook.lab.errors import LabError
from playbook.models import Message

CONNECT_TIMEOUT = 10.0


class Recorder:
    """A client that is connected from the start and listens in a thread of its own.

    Parameters:
        url: `ws://...`.
        channel: name under which the messages are kept.

    Raises:
        LabError: the connection cannot be made.
    """

    def __init__(self, url: str, channel: str) -> None:
        self.channel = channel
        self._messages: list[Message] = []
        self._resources = ExitStack()
        try:
            self._socket = self._resources.enter_context(
                connect(url, open_timeout=CONNECT_TIMEOUT, proxy=None)
            )
        except (OSError, InvalidHandshake, TimeoutError) as error:
            raise LabError(f"no WebSocket connection to {url}: {error}") from None
        self._thread = threading.Thread(target=self._listen, name=f"websocket {channel}", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        try:
            for received in self._socket:
                self._messages.append(Message(at=time.time(), channel=self.channel, data=_parsed(received)))
        except ConnectionClosed:
            return  # Dropped by the other side without a goodbye; what came before counts.

    @property
    def messages(self) -> list[Message]:
        """What has been received so far."""
        return list(self._messages)

    @property
    def connected(self) -> bool:
        """Whether the connection still stands."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Close the connection; the messages stay."""
        self._resources.close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _parsed(received: str | bytes) -> Any:
    text = received if isinstance(received, str) else received.decode(errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text
