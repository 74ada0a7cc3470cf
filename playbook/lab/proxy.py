"""A TCP proxy on loopback that can fail as networks do."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from playbook.lab.waiting import free_port

CHUNK = 65_536


class Proxy:
    """Passes bytes on between its port and a server's. A context manager; it works in a thread of its own.

    Parameters:
        url: the server's, with host and port, for instance `redis://127.0.0.1:6379/0`.

    Attributes:
        url: the same with the proxy's port.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = parts.hostname, parts.port
        self._port = free_port()
        self.url = parts._replace(netloc=f"127.0.0.1:{self._port}").geturl()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._deaf = False
        self._flows = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._listener = self._do(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self._flows.set()
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def cut(self) -> None:
        """Break all connections; new ones are accepted."""
        self._do(self._cut())

    def stall(self) -> None:
        """Pass nothing on until `heal`; connections stay open, and nothing of what is sent gets lost."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def lose_answers(self) -> None:
        """Pass on what clients send, but no answer until `heal`, which breaks the connections."""
        self._deaf = True

    def heal(self) -> None:
        """Be a good network again."""
        if self._deaf:
            self._deaf = False
            self.cut()
        self._loop.call_soon_threadsafe(self._flows.set)

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> asyncio.Server:
        self._flows.set()
        return await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection(*self._server)
        except OSError:
            to_client.transport.abort()
            return
        both = {to_client, to_server}
        self._writers |= both
        requests = asyncio.create_task(self._pass_on(from_client, to_server, False))
        await self._pass_on(from_server, to_client, True)
        await requests
        self._writers -= both

    async def _pass_on(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, is_answer: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                await self._flows.wait()
                if not (is_answer and self._deaf):
                    target.write(data)
                    await target.drain()
        target.close()
