"""The table of what Flower showed is complete, and names tests that exist."""

import re
from pathlib import Path

import pytest
from flower.urls import handlers

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "operations.md").read_text()
ELSEWHERE = (r"/static/(.*)", ".*")
"""Routes that show nothing of tasks: files, and the page for what does not exist."""


def rows() -> list[list[str]]:
    """The table's rows: what Flower shows, how it is seen now, the test."""
    section = PAGE.partition("## What Flower showed")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_each_route_of_flower_is_in_the_table() -> None:
    routes = [getattr(handler, "regex", None) or handler[0] for handler in handlers]
    patterns = {route.pattern.rstrip("$") if isinstance(route, re.Pattern) else route for route in routes}
    assert patterns - set(ELSEWHERE) == {
        route for row in rows() for route in re.findall(r"`(/[^`]*)`", row[0])
    }


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])
def test_a_row_has_a_test_or_a_reason(row: list[str]) -> None:
    now, test = row[1], row[2] if len(row) > 2 else ""
    if now.startswith("not possible"):
        assert ", because " in now
        return
    file, _, name = test.partition("::")
    (found,) = (ROOT / "tests" / "playbook").rglob(file)
    assert f"def {name}(" in found.read_text()
