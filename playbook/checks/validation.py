"""What 05_validation proves: the tests, speed and cost, faults, and that the comparison bites."""

from __future__ import annotations

from playbook.checks import faults, plants, speed, suite_checks
from playbook.contracts import Check, CheckContext
from playbook.lab.waiting import together


def look(context: CheckContext) -> None:
    """Look at all but the speed, which is measured while nothing else runs; once.

    Raises:
        PlaybookError: something could not be done. It is not tried again.
    """
    together(lambda: suite_checks.look(context), lambda: faults.look(context))
    plants.look(context)


CHECKS: tuple[Check, ...] = suite_checks.CHECKS + speed.CHECKS + faults.CHECKS + plants.CHECKS
