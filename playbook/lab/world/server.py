"""The outside world's HTTP server: `python -m playbook.lab.world.server PORT`.

Around the services lies one middleware that records every request and carries out planned faults. What the
lab asks of the server itself is below `/_control` and is not recorded.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from pydantic import ValidationError

from playbook.lab.world.faults import Fault, Faults
from playbook.lab.world.recording import Recording, describe, read_body
from playbook.lab.world.services import SETTABLE, Settable, bad_request
from playbook.lab.world.services import routes as service_routes

MAX_UPLOAD = 256 * 1024**2
CONTROL = "/_control"
RECORDING = web.AppKey("recording", Recording)
FAULTS = web.AppKey("faults", Faults)
SERVICE_NAMES = {"health-ping": "health"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
control_routes = web.RouteTableDef()


def service_of(path: str) -> str:
    """Name the service that a path belongs to: its first segment, but for the health ping."""
    first = path.strip("/").split("/", 1)[0]
    return SERVICE_NAMES.get(first, first)


@web.middleware
async def outside(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Record the request, fail as planned, or let the service answer."""
    if request.path.startswith(f"{CONTROL}/"):
        return await handler(request)
    at = time.time()
    recording = request.app[RECORDING]
    place = recording.reserve()
    service = service_of(request.path)
    fault = request.app[FAULTS].take(service)
    request["body"] = await read_body(request)
    response = await answer(request, handler, fault)
    status = None if response is None else response.status
    recording.fill(place, describe(request, service, request["body"], at, status))
    if response is None:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()  # Goes nowhere: the connection is gone.
    return response


async def answer(request: web.Request, handler: Handler, fault: Fault | None) -> web.StreamResponse | None:
    """Return the response; None if the connection is to be dropped."""
    if fault is not None:
        await asyncio.sleep(fault.delay or 0)
        if fault.drop:
            return None
        if fault.status is not None:
            return web.json_response({"error": "planned fault"}, status=fault.status)
    try:
        return await handler(request)
    except web.HTTPException as error:
        return error
    except ValueError as error:
        return bad_request(str(error))


@control_routes.get(f"{CONTROL}/requests")
async def list_requests(request: web.Request) -> web.Response:
    """List the recorded requests in the order of arrival."""
    return web.json_response([entry.model_dump(mode="json") for entry in request.app[RECORDING].all()])


@control_routes.delete(f"{CONTROL}/requests")
async def clear_requests(request: web.Request) -> web.Response:
    """Forget the recorded requests."""
    request.app[RECORDING].clear()
    return web.Response(status=204)


@control_routes.post(f"{CONTROL}/faults")
async def plan_fault(request: web.Request) -> web.Response:
    """Plan a fault."""
    try:
        request.app[FAULTS].plan(Fault.model_validate_json(await request.read()))
    except ValidationError as error:
        return bad_request(str(error))
    return web.Response(status=204)


@control_routes.delete(f"{CONTROL}/faults")
async def clear_faults(request: web.Request) -> web.Response:
    """Forget all planned faults."""
    request.app[FAULTS].clear()
    return web.Response(status=204)


@control_routes.put(CONTROL + "/calendars/{name}")
async def set_calendar(request: web.Request) -> web.Response:
    """Set the content of a calendar."""
    request.app[SETTABLE].calendars[request.match_info["name"]] = await request.text()
    return web.Response(status=204)


@control_routes.put(CONTROL + "/sessions")
async def set_sessions(request: web.Request) -> web.Response:
    """Set the sessions of the meeting room that the query names."""
    request.app[SETTABLE].sessions[request.query["roomName"]] = await request.json()
    return web.Response(status=204)


def build() -> web.Application:
    """Build the server's application with nothing recorded, planned or set."""
    app = web.Application(middlewares=[outside], client_max_size=MAX_UPLOAD)
    app[RECORDING] = Recording()
    app[FAULTS] = Faults()
    app[SETTABLE] = Settable()
    app.add_routes([*service_routes, *control_routes])
    return app


if __name__ == "__main__":
    web.run_app(build(), host="127.0.0.1", port=int(sys.argv[1]), print=None)
