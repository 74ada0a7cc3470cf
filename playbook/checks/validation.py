"""What 05_validation proves: the application's tests, speed and cost, faults, and that the comparison bites."""

from __future__ import annotations

from playbook.checks import suite_checks
from playbook.contracts import Check

CHECKS: tuple[Check, ...] = suite_checks.CHECKS
