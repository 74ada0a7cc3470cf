"""What 03_pipelines proves: one lab with workers of both systems, another one in which workers are killed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

from playbook.checks import registered
from playbook.checks.driver import Driver
from playbook.checks.guide import Verdict, judge
from playbook.checks.guide_pipelines import CLAIMS
from playbook.checks.once import once
from playbook.checks.pipelines_kills import Kills, kill_in_each_task
from playbook.checks.pipelines_lab import DRIVER, Run, guide_facts, observe
from playbook.checks.pipelines_scenarios import Recording, scenarios
from playbook.checks.pipelines_verdicts import (
    Pair,
    callbacks_once,
    caller_gets,
    failure_stops,
    order_is_kept,
    ran_on_route,
    results_agree,
    survived,
    told_in_order,
)
from playbook.checks.registered import Registered, celery_unchanged, twins
from playbook.checks.simple_lab import (
    celery_worker,
    in_hurry,
    open_lab,
    task_modules,
    taskiq_worker,
)
from playbook.contracts import Check, CheckContext, CheckResult
from playbook.inventory import inventory
from playbook.lab.audio import TWO_SPEAKERS
from playbook.lab.waiting import together
from playbook.models import Model, Observation
from playbook.parity import Comparison, Policy, compare, promised_order
from playbook.report.attempts import Attempt

PHASE = "03_pipelines"
SCENARIOS = ("file", "live", "failing")


class Seen(Model):
    """All that the labs have shown. `runs` are A, A' and B of each scenario."""

    registered: Registered
    runs: dict[str, tuple[Run, Run, Run]]
    kills: Kills
    promised: frozenset[Pair]
    guide: dict[str, Any]

    @property
    def observations(self) -> dict[str, tuple[Observation, Observation, Observation]]:
        """A, A' and B by scenario."""
        return {
            name: (a.observation, a_again.observation, b.observation)
            for name, (a, a_again, b) in self.runs.items()
        }

    @property
    def all_observations(self) -> list[Observation]:
        """Every run of every scenario."""
        return [observation for runs in self.observations.values() for observation in runs]


@once
def look(context: CheckContext) -> Seen:
    """Run everything that the phase looks at, once.

    Raises:
        PlaybookError: something could not be done.
    """
    audio = context.audio or TWO_SPEAKERS
    modules = task_modules(context)
    recording = Recording("planning", "live", audio.read_bytes(), audio.suffix)
    with ThreadPoolExecutor() as threads:
        # Most of the killing is waiting for leases to end.
        killing = threads.submit(kill_in_each_task, context, recording, modules)
        with open_lab(context) as lab:
            _, driver, _ = together(
                lab.api,
                lambda: Driver(lab, route="celery", program=DRIVER),
                lambda: celery_worker(lab),
            )
            # Needed later, and started while Celery is observed.
            starting = threads.submit(taskiq_worker, lab, modules)
            looking = threads.submit(registered.look, context, lab, PHASE)
            guide = threads.submit(guide_facts, lab)
            planned = scenarios(driver, audio)
            a, a_again = (observe(lab, driver, planned, label, "celery") for label in ("A", "A'"))
            starting.result()
            driver.route("taskiq")
            b = observe(lab, driver, planned, "B", "taskiq")
            known, facts = looking.result(), guide.result()
        kills = killing.result()
    runs = {run[0].observation.scenario: run for run in zip(a, a_again, b, strict=True)}
    return Seen(registered=known, runs=runs, kills=kills, promised=promised(context), guide=facts)


def promised(context: CheckContext) -> frozenset[Pair]:
    """Return the orders that the application's canvases promise."""
    canvases = inventory(context.workspace / context.application.root).canvases
    return promised_order(canvas.structure for canvas in canvases)


@cache
def compared(context: CheckContext, scenario: str) -> Comparison:
    """What B did differently from A and A'."""
    seen = look(context)
    return comparison(context, seen.observations[scenario], seen.promised)


def compared_after_kills(context: CheckContext) -> Comparison:
    """What the pipeline whose workers were killed did differently from A and A' of the scenario `live`."""
    seen = look(context)
    a, a_again, _ = seen.observations["live"]
    return comparison(context, (a, a_again, seen.kills.as_if_unharmed), seen.promised)


def comparison(context: CheckContext, runs: Sequence[Observation], promised: frozenset[Pair]) -> Comparison:
    """Compare A, A' and B; planned delays count as what the lab's hurry makes of them."""
    a, a_again, b = map(in_hurry, runs)
    return compare(a, a_again, b, Policy(folders=(str(context.run_dir),), promised=promised))


def no_difference(found: Comparison) -> CheckResult:
    """Whether a comparison found nothing, and had something to compare."""
    if not found.ok:
        evidence = [finding.model_dump(mode="json") for finding in found.findings]
        return CheckResult.failed(f"{len(evidence)} differences: {found.findings[0].explanation}", evidence)
    return CheckResult.passed(f"{sum(found.compared.values())} records agree, twice compared", found.compared)


def steps_of_canvases(seen: Seen, scenario: str) -> list[Observation]:
    """Return A, A' and B with the tasks alone that stand in canvases."""
    steps = {task for pair in seen.promised for task in pair}
    return [
        run.model_copy(update={"trace": [event for event in run.trace if event.task in steps]})
        for run in seen.observations[scenario]
    ]


def verdicts(context: CheckContext) -> list[Verdict]:
    """Return the guide's claims, decided."""
    seen = look(context)
    facts = {
        "told_in_order": told_in_order(seen.all_observations).ok,
        "order_is_kept": order_is_kept(seen.all_observations, seen.promised).ok,
        "same_effects": all(compared(context, scenario).ok for scenario in SCENARIOS),
    }
    return judge(CLAIMS, seen.guide | facts)


def attempts_of_killed(context: CheckContext) -> list[Attempt]:
    """Return the attempts of the pipeline whose workers were killed, for the figure."""
    spans = look(context).kills.spans
    return [Attempt(event.task, event.at, end, died) for event, end, died in spans]


def _claims(context: CheckContext) -> CheckResult:
    found = verdicts(context)
    if surprises := [verdict.text for verdict in found if verdict.holds != verdict.expected]:
        text = f"The verdict on these claims is not the recorded one: {'; '.join(surprises)}"
        return CheckResult.failed(text)
    return CheckResult.passed(f"All {len(found)} claims came out as on record")


def _of(judge: Callable[[Seen], CheckResult]) -> Callable[[CheckContext], CheckResult]:
    return lambda context: judge(look(context))


def _same_effects(context: CheckContext, scenario: str) -> CheckResult:
    return no_difference(compared(context, scenario))


CHECKS = (
    Check(
        "celery_unchanged",
        "Celery's side is as it was",
        lambda context: celery_unchanged(look(context).registered),
    ),
    Check(
        "twins",
        "Each task of this phase has a twin, with the message's signature",
        lambda context: twins(look(context).registered),
    ),
    Check(
        "routed",
        "Pipelines run where the live route says, as a whole",
        _of(lambda seen: ran_on_route(seen.observations, seen.registered.planned)),
    ),
    *(
        Check(
            f"same_effects_{scenario}",
            f"The same effects, {scenario}",
            partial(_same_effects, scenario=scenario),
        )
        for scenario in SCENARIOS
    ),
    Check(
        "order",
        "Nothing starts before what the canvas puts before it has ended",
        _of(lambda seen: order_is_kept(seen.all_observations, seen.promised)),
    ),
    Check(
        "failure_stops",
        "A consent cleanup that fails stops the post",
        _of(lambda seen: failure_stops(seen.observations["failing"], seen.promised)),
    ),
    Check(
        "told_in_order",
        "Browsers are told everything, in order, once",
        _of(lambda seen: told_in_order(seen.all_observations)),
    ),
    *(
        Check(
            f"results_{scenario}",
            f"The results of the tasks are found, {scenario}",
            _of(lambda seen, name=scenario: results_agree(seen.runs[name])),  # type: ignore[misc]
        )
        for scenario in ("live", "failing")
    ),
    Check(
        "caller_result",
        "Who waits for the canvas gets its result",
        _of(lambda seen: caller_gets(seen.runs["live"], "SUCCESS")),
    ),
    Check(
        "caller_error",
        "Who waits for a canvas that fails gets the error",
        _of(lambda seen: caller_gets(seen.runs["failing"], "FAILURE")),
    ),
    Check(
        "survives_kills",
        "A worker dies in each of the ten tasks, and the pipeline ends",
        _of(lambda seen: survived(seen.kills)),
    ),
    Check(
        "callbacks_once",
        "What follows the chord has its effects once, whoever dies",
        _of(lambda seen: callbacks_once(seen.kills)),
    ),
    Check(
        "same_effects_killed",
        "The effects are those of a run in which nobody dies",
        lambda context: no_difference(compared_after_kills(context)),
    ),
    Check("claims", "The guide's claims come out as on record", _claims),
)
