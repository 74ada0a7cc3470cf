"""The lab of 02_simple_tasks: both systems' workers side by side, the live route, and A, A', B."""

from __future__ import annotations

from playbook.checks.driver import Driver
from playbook.checks.simple_scenarios import Errands, Recording
from playbook.contracts import CheckContext
from playbook.inventory import inventory
from playbook.lab import Lab, Process, Scenario
from playbook.lab.audio import TWO_SPEAKERS
from playbook.lab.children import Children
from playbook.lab.scenarios import live
from playbook.models import Observation, System
from playbook.parity import Comparison, Policy, compare, promised_order

HURRY = 1 / 1000
"""The part of a planned retry delay that the workers of the lab really wait, on both systems."""

PATIENCE = 2.5
"""Seconds after which HTTP clients in the workers of the lab give up, on both systems."""

LEASE = 2.0
"""Seconds after which the tasks of a killed TaskIQ worker are taken over."""

HURRY_MODULE = "playbook.lab.hurry"


def open_lab(context: CheckContext, folder: str = "lab", lease: float = LEASE) -> Lab:
    """Return the lab for a phase's checks, not started yet. Its retries and time-outs are in a hurry.

    Parameters:
        context: of the phase.
        folder: below the phase's own, for logs and data.
        lease: seconds after which the tasks of a killed TaskIQ worker are taken over.
    """
    lab = Lab(
        context.workspace,
        context.work_dir / folder,
        redis_url=context.redis_url,
        database_url=context.database_url,
    )
    lab.env["TASKIQ_KEY_PREFIX"] = f"{lab.redis.prefix}{{taskiq}}"
    lab.env["TASKIQ_LEASE"] = str(lease)
    lab.env["PLAYBOOK_HURRY"] = str(HURRY)
    lab.env["PLAYBOOK_PATIENCE"] = str(PATIENCE)
    return lab


def task_modules(context: CheckContext) -> list[str]:
    """Return the modules that a TaskIQ worker is told, as in the migrated start script."""
    application = context.application
    package = application.broker.partition(".broker:")[0]
    found = inventory(context.workspace / application.root).tasks
    app = application.celery_app.partition(":")[0]
    return [app, f"{package}.health", *sorted({task.module for task in found})]


def celery_worker(lab: Children) -> Process:
    """Start a Celery worker that is in a hurry."""
    return lab.celery_worker(modules=[HURRY_MODULE])


def taskiq_worker(lab: Children, modules: list[str]) -> Process:
    """Start a TaskIQ worker that is in a hurry."""
    return lab.taskiq_worker(modules=[*modules, HURRY_MODULE])


def scenarios(context: CheckContext, driver: Driver) -> tuple[Scenario, ...]:
    """Return what is compared."""
    audio = context.audio or TWO_SPEAKERS
    return Errands(driver), Recording(driver, audio), live(audio)


def observe(context: CheckContext, lab: Lab, driver: Driver, label: str, system: System) -> list[Observation]:
    """Run all scenarios on one system. API and workers must be up, and the route set."""
    return [lab.observe(scenario, label, system) for scenario in scenarios(context, driver)]


def comparison(context: CheckContext, a: Observation, a_again: Observation, b: Observation) -> Comparison:
    """Compare; what was planned in seconds is compared with what was waited in the lab's hurry."""
    canvases = inventory(context.workspace / context.application.root).canvases
    promised = promised_order(canvas.structure for canvas in canvases)
    policy = Policy(folders=(str(context.run_dir),), promised=promised)
    return compare(in_hurry(a), in_hurry(a_again), in_hurry(b), policy)


def in_hurry(observation: Observation) -> Observation:
    """Return an observation whose planned delays are those that the lab's workers waited."""
    trace = [
        event if event.delay is None else event.model_copy(update={"delay": event.delay * HURRY})
        for event in observation.trace
    ]
    return observation.model_copy(update={"trace": trace})
