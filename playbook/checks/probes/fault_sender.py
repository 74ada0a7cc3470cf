"""Send units of work at a steady rate, on either system: `fault_sender.py SYSTEM PLAN`, a file of JSON.

The plan is {"rate": tasks per second, "units": [...]}, see `playbook.checks.faults_load`. What the system
accepted is noted in the ledger, and what it refused as well; that is sent again until it is accepted.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playbook.checks.faults_load import Unit
from playbook.checks.probes.fault_bodies import note

AGAIN = 0.2
"""Seconds until what was refused is sent again."""

SYSTEM, PLAN = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
tasks = importlib.import_module(f"playbook.checks.probes.fault_{'tasks' if SYSTEM == 'taskiq' else 'celery'}")


def canvas(unit: Unit, api: Any) -> Any:
    """Return the chain or chord of a unit, made with the names of either system's module."""
    if unit.kind == "chain":
        first, *others = unit.keys
        steps = [tasks.follow.s(key, unit.seconds) for key in others]
        return api.chain(tasks.work.s(first, unit.seconds), *steps)
    *members, last = unit.keys
    header = [tasks.work.s(key, unit.seconds) for key in members]
    return api.chord(header, tasks.join.s(last, unit.seconds, len(members)))


def single(unit: Unit) -> tuple[Any, tuple[Any, ...]]:
    """Return the task of a unit that has only one, and its arguments."""
    (key,) = unit.keys
    if unit.kind == "retried":
        return tasks.stumble, (key, unit.seconds, unit.failures)
    if unit.kind in ("written", "posted"):
        return tasks.write if unit.kind == "written" else tasks.post, (key,)
    return tasks.work, (key, unit.seconds)


async def send_taskiq(unit: Unit) -> None:
    """Send a unit to TaskIQ."""
    package = os.environ["PLAYBOOK_RUNTIME"]
    if unit.kind in ("chain", "chord"):
        await canvas(unit, importlib.import_module(f"{package}.workflow")).delay()
        return
    task, args = single(unit)
    await importlib.import_module(f"{package}.sending").send(task, args, countdown=unit.countdown or None)


async def send_celery(unit: Unit) -> None:
    """Send a unit to Celery."""
    if unit.kind in ("chain", "chord"):
        canvas(unit, importlib.import_module("celery")).delay()
        return
    task, args = single(unit)
    task.apply_async(args, countdown=unit.countdown or None)


async def main(send: Callable[[Unit], Any]) -> dict[str, int]:
    """Send all, each when its time has come."""
    began, sent, refused = time.monotonic(), 0, 0
    for unit in map(Unit.model_validate, PLAN["units"]):
        await asyncio.sleep(max(0.0, began + sent / PLAN["rate"] - time.monotonic()))
        since = time.monotonic()
        while True:
            try:
                await send(unit)
            except Exception as error:
                note("refused", str(unit.number), error=type(error).__name__)
                refused += 1
                await asyncio.sleep(AGAIN)
            else:
                break
        note("sent", str(unit.number), since=since)
        sent += len(unit.keys)
    return {"sent": sent, "refused": refused}


print(json.dumps(asyncio.run(main(send_taskiq if SYSTEM == "taskiq" else send_celery))))
