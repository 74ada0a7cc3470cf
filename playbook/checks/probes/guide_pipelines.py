"""The guide's workflow patterns on its own broker and a real worker: prints what they do as JSON.

`guide_pipelines.py wait NAME` is the guide's `gather` with a callback, as the process that is killed.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from taskiq import gather
from taskiq_pipelines import Pipeline

from playbook.checks.probes.guide_tasks import LOG, broken, consent, summaries, title, zulip
from playbook.checks.probes.stock_broker import URL, broker

PATIENCE = 10.0
NEVER = 2.0
"""Seconds after which what should have started will not: several times as long as a step takes."""


async def log(name: str) -> list[str]:
    """What has been noted for a transcript, in order."""
    async with Redis.from_url(URL) as redis:
        entries = [str(entry, "utf-8") for entry in await redis.lrange(LOG, 0, -1)]  # type: ignore[arg-type]
    return [entry.partition(" ")[2] for entry in entries if entry.startswith(f"{name} ")]


async def seen(name: str, entry: str, seconds: float = PATIENCE) -> bool:
    """Whether an entry appears in time."""
    deadline = time.monotonic() + seconds
    while entry not in await log(name):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


async def chain(add: Callable[[Any], Any], name: str) -> str:
    """Two steps by `Pipeline`; how the second one ended: ok, or the class of its error."""
    task = await add(Pipeline(broker, consent)).kiq(transcript_id=name)
    result = await task.wait_result(timeout=PATIENCE)
    return type(result.error).__name__ if result.is_err else "ok"


async def gathered(first: Any, name: str) -> list[bool]:
    """The guide's chord, its `gather` corrected: whether each header failed. The callback is sent then."""
    header = [await first.kiq(transcript_id=name), await title.kiq(transcript_id=name)]
    results = await gather(*header, timeout=PATIENCE)
    await summaries.kiq(transcript_id=name)
    return [result.is_err for result in results]


async def with_results(name: str) -> str:
    """How the callback ends if it is sent the results as well, as the guide does."""
    task = await summaries.kiq(name, [None, None])  # type: ignore[call-overload]
    result = await task.wait_result(timeout=PATIENCE)
    return type(result.error).__name__ if result.is_err else "ok"


async def one_after_the_other(name: str) -> bool:
    """Summaries and Zulip sent in a row: whether the summaries ended before Zulip began."""
    await summaries.kiq(transcript_id=name)
    await zulip.kiq(transcript_id=name)
    await seen(name, "zulip end")
    await seen(name, "summaries end")
    entries = await log(name)
    return entries.index("summaries end") < entries.index("zulip start")


async def killed(name: str) -> tuple[bool, bool]:
    """Kill the process that waits, while the header runs: whether the header ended, the callback began."""
    command = [sys.executable, "-m", __spec__.name, "wait", name]
    waiting = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    # Both, because they are sent one by one: killed in between, the second would never have been sent.
    await seen(name, "consent start")
    await seen(name, "title start")
    waiting.kill()
    await waiting.wait()
    ended = await seen(name, "consent end") and await seen(name, "title end")
    return ended, await seen(name, "summaries start", NEVER)


async def facts() -> dict[str, Any]:
    """Find out everything, most of it at the same time."""
    found: list[Awaitable[Any]] = [
        chain(lambda pipeline: pipeline.call_next(zulip, transcript_id="next"), "next"),
        chain(lambda pipeline: pipeline.call_after(zulip, transcript_id="after"), "after"),
        gathered(consent, "good"),
        gathered(broken, "bad"),
        with_results("results"),
        one_after_the_other("row"),
        killed("killed"),
    ]
    call_next, call_after, _, bad, with_results_, in_order, (header_ended, callback) = await asyncio.gather(
        *found
    )
    return {
        "call_next": call_next,
        "call_after": call_after,
        "call_next_step_ran": "zulip start" in await log("next"),
        "gather_waits": await seen("good", "summaries end")
        and (await log("good")).index("summaries start") > (await log("good")).index("title end"),
        "header_failed": any(bad),
        "callback_after_failed_header": await seen("bad", "summaries start"),
        "callback_with_results": with_results_,
        "sent_in_a_row_runs_in_order": in_order,
        "header_ended": header_ended,
        "callback_outlives_the_waiter": callback,
    }


async def main() -> None:
    """Do what the command line says."""
    await broker.startup()
    try:
        if sys.argv[1:2] == ["wait"]:
            await gathered(consent, sys.argv[2])
        else:
            print(json.dumps(await facts()))
    finally:
        await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
