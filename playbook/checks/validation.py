"""What 05_validation proves: the tests, speed and cost, faults, and that the comparison bites."""

from __future__ import annotations

from playbook.checks import faults, plants, speed, suite_checks
from playbook.contracts import Check

CHECKS: tuple[Check, ...] = suite_checks.CHECKS + speed.CHECKS + faults.CHECKS + plants.CHECKS
