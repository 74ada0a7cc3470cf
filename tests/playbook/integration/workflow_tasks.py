"""Tasks of workflows that the tests run in real workers. What they did goes to a list in Redis."""

import asyncio
import os
import random

from scaffold_tasks import note

from playbook.scaffold.worker.broker import broker
from playbook.scaffold.worker.context import current_task
from playbook.scaffold.worker.workflow import chain, chord, group

PAUSE = float(os.environ.get("WORKFLOW_PAUSE", "0.02"))


async def step(name: str, workflow: str) -> str:
    """Note start and end of a step, by which process, and whether a worker has died over it."""
    again = current_task.request.delivery_info["redelivered"]
    note(f"start:{workflow}:{name}:{os.getpid()}:{int(again)}")
    await asyncio.sleep(random.uniform(0, 2 * PAUSE))
    note(f"end:{workflow}:{name}:{os.getpid()}:{int(again)}")
    return name


@broker.task("tests.member")
async def member(workflow: str, number: int) -> int:
    await step(str(number), workflow)
    return number


@broker.task("tests.body")
async def body(numbers: list[int], workflow: str) -> int:
    await step("body", workflow)
    return sum(numbers)


@broker.task("tests.step")
async def pipeline_step(workflow: str, name: str) -> str:
    return await step(name, workflow)


def chord_of(workflow: str, size: int) -> object:
    """A chord of so many members."""
    return chord([member.s(workflow, number) for number in range(size)], body.s(workflow))


PIPELINE = ("waveform", "mp3", "upload", "remove", "diarization", "cleanup")


def pipeline(workflow: str) -> object:
    """The shape of the live pipeline: ten tasks."""
    steps = chain(*(pipeline_step.si(workflow, name) for name in PIPELINE))
    title, summaries, post = (pipeline_step.si(workflow, name) for name in ("title", "summaries", "post"))
    return pipeline_step.si(workflow, "begin") | group(steps, title) | summaries | post
