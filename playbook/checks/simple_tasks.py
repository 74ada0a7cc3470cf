"""What 02_simple_tasks proves: one lab with workers of both systems, and what was seen there."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from playbook.checks import registered
from playbook.checks.driver import Driver
from playbook.checks.flood import Flood, run_flood
from playbook.checks.once import once
from playbook.checks.registered import Registered, celery_unchanged, twins
from playbook.checks.rollback import Rollback, rehearse
from playbook.checks.simple_lab import (
    celery_worker,
    comparison,
    observe,
    open_lab,
    task_modules,
    taskiq_worker,
)
from playbook.checks.simple_scenarios import CLEANUP, WEBHOOK
from playbook.checks.simple_verdicts import (
    all_signed,
    doubled_in_flight,
    goes_back,
    nothing_lost,
    ran_where_routed,
    requests_agree,
    retries_agree,
    rolls_back,
)
from playbook.contracts import Check, CheckContext, CheckResult
from playbook.lab.waiting import together
from playbook.models import Model, Observation
from playbook.parity import Comparison
from playbook.phases import SimpleTasksParameters

SCENARIOS = ("errands", "recording", "live")


class Seen(Model):
    """All that the lab has shown."""

    registered: Registered
    observations: dict[str, tuple[Observation, Observation, Observation]]
    flood: Flood
    rollback: Rollback


@once
def look(context: CheckContext) -> Seen:
    """Run everything that the phase looks at, once.

    Raises:
        PlaybookError: something could not be done.
    """
    options = context.parameters
    assert isinstance(options, SimpleTasksParameters)
    modules = task_modules(context)
    with open_lab(context) as lab:
        _, driver, celery = together(lab.api, lambda: Driver(lab, route="celery"), lambda: celery_worker(lab))
        with ThreadPoolExecutor() as threads:
            # Needed later. Meanwhile most of what Celery does is waiting for the next attempt.
            starting = threads.submit(taskiq_worker, lab, modules)
            looking = threads.submit(registered.look, context, lab)
            a, a_again = (observe(context, lab, driver, label, "celery") for label in ("A", "A'"))
            taskiq, known = starting.result(), looking.result()
        driver.route("taskiq")
        b = observe(context, lab, driver, "B", "taskiq")
        flood = run_flood(lab, modules, options.calls, options.kills, taskiq)
        celery.kill()
        rollback = rehearse(context, lab, driver, modules)
    observations = {runs[0].scenario: runs for runs in zip(a, a_again, b, strict=True)}
    return Seen(registered=known, observations=observations, flood=flood, rollback=rollback)


def observations(context: CheckContext, scenario: str) -> tuple[Observation, Observation, Observation]:
    """A, A' and B of a scenario."""
    return look(context).observations[scenario]


def compared(context: CheckContext, scenario: str) -> Comparison:
    """What B did differently from A and A'."""
    return comparison(context, *observations(context, scenario))


def same_effects(context: CheckContext, scenario: str) -> CheckResult:
    """Compare A, A' and B of a scenario."""
    a, _, b = observations(context, scenario)
    found = compared(context, scenario)
    if not found.ok:
        evidence = [finding.model_dump(mode="json") for finding in found.findings]
        return CheckResult.failed(f"{len(evidence)} differences: {found.findings[0].explanation}", evidence)
    if not (a.effects.requests and b.trace):
        return CheckResult.failed("The scenario did not do what it is to show: no request, or no task")
    return CheckResult.passed(f"{sum(found.compared.values())} records agree, twice compared", found.compared)


def _of_errands(
    judge: Callable[[tuple[Observation, ...]], CheckResult],
) -> Callable[[CheckContext], CheckResult]:
    return lambda context: judge(observations(context, "errands"))


def _routed(context: CheckContext) -> CheckResult:
    seen = look(context)
    return ran_where_routed(seen.observations, seen.registered.planned)


def _kills(context: CheckContext) -> int:
    options = context.parameters
    assert isinstance(options, SimpleTasksParameters)
    return options.kills


CHECKS = (
    Check(
        "celery_unchanged",
        "Celery's side is as it was",
        lambda context: celery_unchanged(look(context).registered),
    ),
    Check(
        "twins",
        "Each task of this phase has a twin, under its name and with the message's signature",
        lambda context: twins(look(context).registered),
    ),
    Check(
        "routed",
        "Routed calls go where the live route says, from the API, from tasks and from outside",
        _routed,
    ),
    Check(
        "webhook_requests",
        "Receivers get the same requests and retry headers, whatever they answer",
        _of_errands(requests_agree),
    ),
    Check("webhook_signatures", "The signature of every webhook holds", _of_errands(all_signed)),
    Check(
        "webhook_retries",
        "The webhook is retried as often, and with the same planned delays",
        lambda context: retries_agree(observations(context, "errands"), WEBHOOK),
    ),
    Check(
        "cleanup_retries",
        "The clean-up is retried as often, and with the same planned delays",
        lambda context: retries_agree(observations(context, "errands"), CLEANUP),
    ),
    *(
        Check(
            f"same_effects_{scenario}",
            f"The same effects, {scenario}",
            partial(same_effects, scenario=scenario),
        )
        for scenario in SCENARIOS
    ),
    Check(
        "nothing_lost",
        "Nothing is lost while the route flips and workers are killed",
        lambda context: nothing_lost(look(context).flood),
    ),
    Check(
        "doubled_in_flight",
        "Only what was in flight at a kill runs twice",
        lambda context: doubled_in_flight(look(context).flood, _kills(context)),
    ),
    Check(
        "goes_back",
        "The route goes back to Celery under load",
        lambda context: goes_back(look(context).flood),
    ),
    Check(
        "rolls_back",
        "The code goes back, and messages of both kinds are understood",
        lambda context: rolls_back(look(context).rollback),
    ),
)
