"""What all tests share: the order of their files, and hypothesis without a clock.

Long files come first, so that no core is idle at the end of a parallel run: pytest-xdist hands out whole
files, one after the other, in this order (`--no-loadscope-reorder`).
"""

from __future__ import annotations

import hypothesis
import pytest

# How fast an example runs says nothing about the code, only about the machine.
hypothesis.settings.register_profile("playbook", deadline=None)
hypothesis.settings.load_profile("playbook")

LONGEST = (
    "test_plants",
    "test_simple_floods",
    "test_runner_kill",
    "test_runner",
    "test_scaffold_workers",
    "test_poc_checks",
    "test_cli",
    "test_runner_papermill",
    "test_lab_workers",
    "test_rewrite_simple_tasks",
)
"""Names of the files that take longest, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, then what starts processes, then the rest; each file in its own order."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> tuple[int, bool]:
    name = item.path.stem
    place = LONGEST.index(name) if name in LONGEST else len(LONGEST)
    return place, item.get_closest_marker("integration") is None
