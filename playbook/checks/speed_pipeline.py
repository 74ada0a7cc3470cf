"""How long the file pipeline takes on each, from the start of its first task to the end of its last."""

from __future__ import annotations

from playbook.checks.driver import Driver
from playbook.checks.simple_lab import HURRY_MODULE, open_lab, task_modules
from playbook.checks.speed_runs import Sample
from playbook.contracts import CheckContext
from playbook.lab.audio import TWO_SPEAKERS
from playbook.lab.environment import Lab
from playbook.lab.load_systems import MIGRATED, PREFORK
from playbook.lab.scenarios import upload
from playbook.lab.waiting import together

WORKERS = 2
ROUTES = ((PREFORK, "celery"), (MIGRATED, "taskiq"))


def measure_pipeline(context: CheckContext, rounds: int) -> list[Sample]:
    """Upload the same recording again and again, and let each system process it in turn.

    Stock TaskIQ is not among them: the application's tasks are not on it, and with the guide's means they
    could not be without changing what they do (docs/traps.md, T26).

    Parameters:
        context: of the phase.
        rounds: how often.

    Raises:
        LabError: a system does not start, or the pipeline does not end.
    """
    if not rounds:
        return []
    found: list[Sample] = []
    scenario = upload(context.audio or TWO_SPEAKERS)
    modules = [*task_modules(context), HURRY_MODULE]
    with open_lab(context, "speed-pipeline") as lab:
        driver, *_ = together(
            lambda: Driver(lab),
            lab.api,
            lambda: lab.celery_worker(concurrency=WORKERS, modules=[HURRY_MODULE]),
            lambda: lab.taskiq_worker(modules=modules, workers=WORKERS),
        )
        # Each system imports what it needs with its first task; that is not what is measured.
        for number in range(-1, rounds):
            for system, route in ROUTES if number % 2 else ROUTES[::-1]:
                driver.route(route)
                lab.observe(scenario, system, "celery" if route == "celery" else "taskiq")
                if number >= 0:
                    found.append(_sample(system, number, lab))
    return found


def _sample(system: str, number: int, lab: Lab) -> Sample:
    times = [event.at for event in lab.trace()]
    wall = max(times) - min(times)
    return Sample(system=system, workers=WORKERS, round=number, kind="pipeline", metric="wall", value=wall)
