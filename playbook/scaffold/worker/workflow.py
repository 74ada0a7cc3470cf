"""Workflows: chains, groups and chords of tasks, with Celery's meaning.

    result = await (fetch.s(url) | group(resize.s(100), resize.s(200)) | publish.s()).delay()
    await result.aget(timeout=60)
    await revoke(result.id)

Invariant: once `delay` has returned, the workflow ends, whatever becomes of sender and workers: a task's
result, its acknowledgement and the start of what follows are one step in Redis (`lua_steps.FINISH`), and each
such step happens once.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from taskiq import AsyncBroker, InMemoryBroker, TaskiqResult

from .canvas import (
    Signature,
    chain,
    chord,
    chunks,
    group,
    signature,
    starmap,
    xmap,
)
from .clients import with_client, with_client_sync
from .errors import TaskRevokedError
from .in_place import run_in_place
from .messages import Outgoing
from .plans import Plan
from .results import dumps, error_result
from .running import running
from .sent import Handle
from .serialization import Serializer
from .streams import StreamBroker

__all__ = [
    "Signature",
    "chain",
    "chord",
    "chunks",
    "drawn",
    "group",
    "launch",
    "launch_sync",
    "revoke",
    "signature",
    "starmap",
    "status",
    "xmap",
]

COLOURS = {
    "waiting": "white",
    "sent": "lightblue",
    "done": "palegreen",
    "failed": "salmon",
    "skipped": "lightgrey",
}
STATES = {"w": "waiting", "s": "sent", "d": "done", "f": "failed", "x": "skipped"}


async def launch(
    canvas: Signature, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
) -> Handle:
    """Start a canvas; see `Signature.apply_async`."""
    plan = Plan.of(canvas, args, kwargs, options)
    await with_client(partial(start, plan))
    return Handle(plan.final, own=True)


def launch_sync(
    canvas: Signature, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
) -> Handle:
    """Start a canvas from synchronous code; see `Signature.apply_async`."""
    plan = Plan.of(canvas, args, kwargs, options)
    with_client_sync(partial(start, plan))
    return Handle(plan.final, own=True)


async def start(
    plan: Plan, client: AsyncBroker, lineage: tuple[str | None, str | None] | None = None
) -> None:
    """Start a plan.

    Args:
        plan: what to run.
        client: the broker to send it with.
        lineage: ids of the root and of the sender; None: of the task that runs here, if one does.
    """
    if isinstance(client, InMemoryBroker):
        return await run_in_place(plan, client)
    assert isinstance(client, StreamBroker)
    here = running.get()
    root, parent = lineage or ((here.request.root_id, here.request.id) if here else (None, None))
    data = await plan.as_data(client)
    if len(plan.nodes) == 1 and not data["errbacks"] and data["templates"][0]:
        # One task and nothing after it: a message like any other.
        queue, due, expires, before, _ = data["templates"][0]
        step = f"- - {root or plan.final} {parent or '-'}"
        return await client.send(Outgoing(queue, plan.final, before.encode(), due, expires, step))
    if not plan.entries:
        await client.redis.set(client.keys.result(plan.final), _NOTHING, ex=client.result_ttl)
        return
    keys = [client.keys.workflow(plan.final)]
    args: list[Any] = [client.keys.prefix, client.result_ttl, client.workflow_ttl, plan.final]
    args += [_serializer.dumpb(data), root or "", parent or ""]
    await client.ask(partial(client.run_step["START"], keys, args))


@dataclass(frozen=True)
class Step:
    """A task or a group of a workflow.

    Attributes:
        id: its id.
        name: name of the task; `group` for a group whose list is a result; empty for a chord's header.
        state: `waiting` for what comes before it, `sent` (a group: its members are), `done`, `failed`, or
            `skipped`, because what comes before it failed or it was revoked.
        next: ids of what gets its result.
    """

    id: str
    name: str
    state: str
    next: tuple[str, ...]


async def status(id: str) -> list[Step]:
    """Return the steps of a workflow in the order of its plan; none if it is unknown or has expired."""

    async def look(client: AsyncBroker) -> list[Step]:
        assert isinstance(client, StreamBroker)
        script, keys = client.run_step["STATUS"], [client.keys.workflow(id)]
        found = [json.loads(step) for step in await client.ask(partial(script, keys))]
        return [Step(id, name, STATES[state], tuple(next)) for id, name, state, next in found]

    return await with_client(look)


def drawn(steps: Sequence[Step]) -> str:
    """Return steps as a graph in Graphviz' language, coloured by their state."""
    lines = ["digraph workflow {", "  rankdir=LR;", "  node [shape=box, style=filled];"]
    for step in steps:
        label = f"{step.name or 'all of them'}\\n{step.state}"
        lines.append(f'  "{step.id}" [label="{label}", fillcolor="{COLOURS[step.state]}"];')
    lines += [f'  "{step.id}" -> "{after}";' for step in steps for after in step.next]
    return "\n".join([*lines, "}"])


async def revoke(id: str) -> int:
    """Keep a task, or all tasks of a workflow, from starting; what runs already goes on to its end.

    Workers learn of it with their next heartbeat. Whoever waits for a result gets `TaskRevokedError`.

    Returns:
        How many tasks will not run that else would.
    """

    async def run(client: AsyncBroker) -> int:
        assert isinstance(client, StreamBroker)
        args = [client.keys.prefix, client.result_ttl, client.workflow_ttl, id]
        result = error_result(TaskRevokedError("revoked"))
        script = partial(client.run_step["REVOKE"], [client.keys.revoked], [*args, result])
        return int(await client.ask(script))

    return await with_client(run)


_serializer = Serializer()
_NOTHING = dumps(TaskiqResult(is_err=False, return_value=None, execution_time=0.0), b"null")
