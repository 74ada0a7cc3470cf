"""The table of planted faults: which check found which."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from playbook.report.views import View, table


def plants_table(tried: Iterable[Any]) -> View:
    """Return each planted fault with the checks that had to fail, and did.

    Args:
        tried: plants with the results of their checks (`playbook.checks.plant_runs.Tried`).
    """
    return table(
        {
            "fault": one.plant.name,
            "phase": one.plant.phase,
            "what is wrong": one.plant.what,
            "found by": ", ".join(one.found_by) or "nothing",
            "outcome": "✓ caught" if one.caught else f"✗ {one.outcome}",
        }
        for one in tried
    )
