"""One HTTP request to an outside service, with every way to fail turned into a `ServiceError`."""

from __future__ import annotations

from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from reflector.processors.errors import ServiceRejected, ServiceUnavailable

Shape = TypeVar("Shape")

CONNECT_TIMEOUT = 10.0  # s
ANSWER_TIMEOUT = 300.0  # s; transcription of a long chunk on a busy GPU takes minutes


async def request(service: str, method: str, url: str, **options: Any) -> httpx.Response:
    """Send one request and return its 2xx or 304 answer.

    Parameters: `service` is the short name for error messages, `options` go to `httpx.AsyncClient.request`.
    The client lives for this call only: tasks run in event loops that end with the task, and a pooled
    connection would outlive its loop. Raises `ServiceUnavailable` for connection errors, timeouts, 429 and
    5xx, `ServiceRejected` for everything else that is no success.
    """
    timeout = httpx.Timeout(ANSWER_TIMEOUT, connect=CONNECT_TIMEOUT)
    shown = _without_secrets(url)
    try:
        async with httpx.AsyncClient(timeout=timeout, follow_redirects=True) as client:
            response = await client.request(method, url, **options)
    except httpx.TimeoutException as error:
        raise ServiceUnavailable(service, shown, f"no answer in time ({type(error).__name__})") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
        raise ServiceRejected(service, shown, str(error)) from error
    except httpx.TransportError as error:
        raise ServiceUnavailable(
            service, shown, f"connection failed ({error or type(error).__name__})"
        ) from error
    if response.is_success or response.status_code == httpx.codes.NOT_MODIFIED:
        return response
    kind = ServiceUnavailable if response.status_code == 429 or response.is_server_error else ServiceRejected
    reason = f"answered {response.status_code} {response.text[:200]}".strip()
    raise kind(service, shown, reason, response.status_code)


def parse(service: str, response: httpx.Response, shape: TypeAdapter[Shape]) -> Shape:
    """The JSON body of `response` as a `shape`; `ServiceRejected` if it is something else."""
    try:
        return shape.validate_json(response.content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        reason = f"unexpected answer, {where}: {first['msg']}"
        raise ServiceRejected(
            service, _without_secrets(str(response.url)), reason, response.status_code
        ) from error


def bearer(key: str | None) -> dict[str, str]:
    """The Authorization header for an API key; none without a key."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def _without_secrets(url: str) -> str:
    """The address without user, password and query, which may hold tokens."""
    try:
        return str(httpx.URL(url).copy_with(username=None, password=None, query=None))
    except httpx.InvalidURL:
        return "(an address that cannot be parsed)"
