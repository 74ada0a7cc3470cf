"""What 05_validation proves: the tests, speed and cost, faults, and that the comparison bites."""

from __future__ import annotations

from functools import partial

from playbook.checks import faults, plants, speed, suite_checks
from playbook.contracts import Check, CheckContext
from playbook.lab.waiting import together


def look(context: CheckContext) -> None:
    """Look at all but the speed, which is measured while nothing else runs; once.

    Raises:
        PlaybookError: something could not be done. It is not tried again.
    """
    # By itself: libcst parses without the lock of `playbook.syntax`. Of the others only `plants` parses.
    suite_checks.sources(context)
    together(*(partial(part.look, context) for part in (suite_checks, faults, plants)))


CHECKS: tuple[Check, ...] = suite_checks.CHECKS + speed.CHECKS + faults.CHECKS + plants.CHECKS
