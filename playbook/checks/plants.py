"""What 05_validation proves with planted faults: each is caught, and without one there is no alarm."""

from __future__ import annotations

from playbook.checks.once import once
from playbook.checks.plant_runs import Bites, try_plants
from playbook.contracts import Check, CheckContext, CheckResult
from playbook.phases import ValidationParameters
from playbook.plants import PLANTS, find_plant

QUICK = ("test-that-cannot-fail", "test-skipped", "start-script-calls-celery", "chord-becomes-sends")
"""What is tried at quick size."""

ALWAYS = ("calls", "scripts")
"""Trials whose checks belong to this phase: they are made without a plant at any size."""

ROUNDS = 10
"""How often the trials are made on an unchanged copy at full size."""


@once
def look(context: CheckContext) -> Bites:
    """Try the plants of the notebook's size, once.

    Raises:
        PlaybookError: something could not be done.
    """
    options = context.parameters
    assert isinstance(options, ValidationParameters)
    plants = PLANTS if options.full else [find_plant(name) for name in QUICK]
    own = [plant for plant in PLANTS if plant.trial in ALWAYS]
    return try_plants(context, plants, ROUNDS if options.full else 1, unchanged_too=own)


def plants_caught(found: Bites) -> CheckResult:
    """Whether each plant was caught by the checks that have to."""
    missed = [f"{one.plant.name}: {one.outcome}" for one in found.tried if not one.caught]
    evidence = {one.plant.name: one.found_by for one in found.tried}
    if missed or not found.tried:
        return CheckResult.failed(f"{len(missed)} of {len(found.tried)}: {'; '.join(missed)}", evidence)
    return CheckResult.passed(f"All {len(found.tried)} planted faults were caught", evidence)


def unchanged_copy(found: Bites) -> CheckResult:
    """Whether copies without a fault passed."""
    alarms = found.false_alarms
    checks = sum(len(results) for each in found.unchanged for results in each.values())
    if alarms or not checks:
        return CheckResult.failed(f"{len(alarms)} false alarms: {'; '.join(alarms[:3])}", alarms)
    return CheckResult.passed(f"{checks} checks passed on copies without a fault", checks)


def of_unchanged(found: Bites, name: str) -> CheckResult:
    """The result of a check that only these trials make."""
    results = [r for each in found.unchanged for some in each.values() for r in some if r.name == name]
    failed = [result for result in results if not result.ok]
    return (failed or results)[0]


CHECKS: tuple[Check, ...] = (
    Check(
        "calls_arrive",
        "Calls of every kind come to the same on both systems",
        lambda context: of_unchanged(look(context), "calls_arrive"),
    ),
    Check(
        "start_scripts",
        "The start scripts start what they say",
        lambda context: of_unchanged(look(context), "start_scripts"),
    ),
    Check(
        "unchanged_copy",
        "A copy without a fault raises no alarm",
        lambda context: unchanged_copy(look(context)),
    ),
    Check("plants_caught", "Every planted fault is caught", lambda context: plants_caught(look(context))),
)
