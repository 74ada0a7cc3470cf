"""What the outside world remembers of the requests that it received."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from aiohttp import BodyPartReader, web

from playbook.models import Request

# Their values are credentials. A digest still tells two of them apart.
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"})


class Recording:
    """The requests in the order of arrival. One that is still being answered is not shown yet."""

    def __init__(self) -> None:
        self._requests: list[Request | None] = []
        self._generation = 0

    def reserve(self) -> tuple[int, int]:
        """Keep the next place for a request that has just arrived."""
        self._requests.append(None)
        return self._generation, len(self._requests) - 1

    def fill(self, place: tuple[int, int], request: Request) -> None:
        """Put the finished request into its place, unless the record was cleared in between."""
        generation, index = place
        if generation == self._generation:
            self._requests[index] = request

    def all(self) -> list[Request]:
        """Return the finished requests."""
        return [request for request in self._requests if request is not None]

    def clear(self) -> None:
        """Forget all requests, those under way too."""
        self._requests = []
        self._generation += 1


async def read_body(request: web.Request) -> Any:
    """Read a request's body as data.

    JSON gives its value, a form a dict, a multipart form a dict in which a file is
    `{"filename", "size", "sha256"}`, nothing gives None, anything else its text. Files are kept as
    `request["files"]: dict[str, bytes]` for the handler.
    """
    request["files"] = {}
    kind = request.content_type
    if kind == "multipart/form-data":
        return await _read_multipart(request)
    if kind == "application/x-www-form-urlencoded":
        return {name: str(value) for name, value in (await request.post()).items()}
    text = (await request.read()).decode(errors="replace")
    if kind == "application/json":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text or None


async def _read_multipart(request: web.Request) -> dict[str, Any]:
    body: dict[str, Any] = {}
    async for part in await request.multipart():
        assert isinstance(part, BodyPartReader)
        name = part.name or ""
        data = bytes(await part.read(decode=True))
        if part.filename is None:
            body[name] = data.decode(errors="replace")
        else:
            request["files"][name] = data
            digest = hashlib.sha256(data).hexdigest()
            body[name] = {"filename": part.filename, "size": len(data), "sha256": digest}
    return body


def describe(request: web.Request, service: str, body: Any, at: float, status: int | None) -> Request:
    """Make the record of a request; `at` is Unix time. Header names in lower case, secrets as digests."""
    headers = {
        name.lower(): _digest(value) if name.lower() in SECRET_HEADERS else value
        for name, value in request.headers.items()
    }
    return Request(
        at=at,
        service=service,
        method=request.method,
        path=request.path,
        query=dict(request.query),
        headers=headers,
        body=body,
        status=status,
    )


def _digest(value: str) -> str:
    return f"sha256:{hashlib.sha256(value.encode()).hexdigest()[:16]}"
