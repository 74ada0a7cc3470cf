"""The lab of 03_pipelines: A, A' and B of every scenario, and the results that callers can ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from playbook.checks.driver import Driver
from playbook.checks.pipelines_scenarios import Upload
from playbook.lab import Lab
from playbook.lab.tracing.trace_file import TRACE_VARIABLE
from playbook.models import Model, Observation, System

PROBES = "playbook.checks.probes"
DRIVER = f"{PROBES}.pipelines_driver"


class Result(Model):
    """What a caller gets. `state` is SUCCESS, FAILURE or missing, `error` the exception's class."""

    state: str
    value: object = None
    error: str | None = None


class Run(Model):
    """One run of a scenario: what was observed, the results of its tasks, and of the canvas sent by hand.

    `results` holds the name of each task that ran with its result, sorted.
    """

    observation: Observation
    results: list[tuple[str, Result]]
    by_hand: Result | None


def observe(lab: Lab, driver: Driver, scenarios: Sequence[Upload], label: str, system: System) -> list[Run]:
    """Run scenarios on one system. API and workers must be up, and the route set."""
    return [run(lab, driver, scenario, label, system) for scenario in scenarios]


def run(lab: Lab, driver: Driver, scenario: Upload, label: str, system: System) -> Run:
    """Run one scenario on the system that the route names."""
    observation = lab.observe(scenario, label, system)
    tasks = sorted({(event.task, event.id) for event in observation.trace})
    found = driver.ask("results", [task_id for _, task_id in tasks])
    results = [(task, Result.model_validate(result)) for (task, _), result in zip(tasks, found, strict=True)]
    by_hand = None
    if scenario.again is not None:
        transcripts = observation.effects.rows["transcript"]
        (transcript,) = (row["id"] for row in transcripts if row["name"] == scenario.again)
        by_hand = Result.model_validate(driver.ask("post", transcript))
    ordered = sorted(results, key=lambda pair: (pair[0], pair[1].model_dump_json()))
    return Run(observation=observation, results=ordered, by_hand=by_hand)


def guide_facts(lab: Lab) -> dict[str, Any]:
    """Run the guide's workflow patterns on its own broker, with their own worker; return what they do."""
    env = {
        "PLAYBOOK_STOCK_QUEUE": f"{lab.redis.prefix}guide",
        # What runs here is no part of what is observed.
        TRACE_VARIABLE: str(lab.run_dir / "guide-trace.jsonl"),
    }
    with lab.taskiq_worker(f"{PROBES}.guide_tasks:broker", name="taskiq-guide", env=env):
        facts: dict[str, Any] = lab.probe(f"{PROBES}.guide_pipelines", env=env)
    return facts
