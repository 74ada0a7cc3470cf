"""Sends the load of one system: `load_driver.py MODULE PORT`, HTTP on loopback, JSON.

POST /burst  {"kind", "count"}                 sends as fast as one sender can
POST /paced  {"kind", "count", "rate", "seed"} sends at random moments, `rate` a second on average
POST /later  {"kind", "count", "from", "to"}   sends tasks that are due in `from` to `to` seconds
POST /fan_in {"size", "waiting"}               runs a chord, returns what its body returns; or only sends it
GET  /ready

The first three return {"seconds": how long it took, "keys": [names of the results in Redis]}.
"""

import asyncio
import importlib
import random
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

load: Any = importlib.import_module(sys.argv[1])
routes = web.RouteTableDef()


async def timed(sending: Callable[[int], Awaitable[str]], count: int) -> web.Response:
    """Send `count` tasks one after the other."""
    started = time.perf_counter()
    ids = [await sending(number) for number in range(count)]
    seconds = time.perf_counter() - started
    return web.json_response({"seconds": seconds, "keys": [load.RESULT + id for id in ids]})


@routes.get("/ready")
async def ready(request: web.Request) -> web.Response:
    """Say that this process serves."""
    return web.json_response(None)


@routes.post("/burst")
async def burst(request: web.Request) -> web.Response:
    """Send tasks."""
    wanted = await request.json()
    return await timed(lambda _: load.send(wanted["kind"]), wanted["count"])


@routes.post("/paced")
async def paced(request: web.Request) -> web.Response:
    """Send tasks, with pauses. A sender that is late for one does not wait for the next."""
    wanted = await request.json()
    pauses = random.Random(wanted["seed"])  # noqa: S311
    moment = time.perf_counter()

    async def send(_: int) -> str:
        nonlocal moment
        moment += pauses.expovariate(wanted["rate"])
        await asyncio.sleep(max(0.0, moment - time.perf_counter()))
        return str(await load.send(wanted["kind"]))

    return await timed(send, wanted["count"])


@routes.post("/later")
async def later(request: web.Request) -> web.Response:
    """Send tasks that are due later, evenly spread. Sending takes time, so the last are sent first."""
    wanted = await request.json()
    begin, count = time.time(), wanted["count"]
    step = (wanted["to"] - wanted["from"]) / count

    async def send(number: int) -> str:
        due = begin + wanted["to"] - number * step
        return str(await load.send_later(wanted["kind"], due - time.time()))

    return await timed(send, count)


@routes.post("/fan_in")
async def fan_in(request: web.Request) -> web.Response:
    """Run a chord."""
    return web.json_response(await load.fan_in(**await request.json()))


if __name__ == "__main__":
    server = web.Application()
    server.add_routes(routes)
    web.run_app(server, host="127.0.0.1", port=int(sys.argv[2]), print=None)
