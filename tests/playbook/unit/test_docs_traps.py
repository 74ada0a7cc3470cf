"""docs/traps.md names a test for both sides of every trap, and each of them is there."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parents[1] / "docs" / "traps.md"
ROW = re.compile(r"^\| (T\d+) [^|]*\| ([^|]*) \| ([^|]*) \|$", re.MULTILINE)
SIDES = {trap: (stock, here) for trap, stock, here in ROW.findall(PAGE.read_text())}


def functions(file: Path) -> set[str]:
    nodes = ast.walk(ast.parse(file.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("trap", [f"T{number}" for number in range(1, 32)])
def test_both_sides_of_a_trap_have_tests(trap: str) -> None:
    for side in SIDES[trap]:
        named = re.findall(r"`(\w+\.py)::(\w+)`", side)
        assert named, "no test is named"
        for name, function in named:
            (file,) = TESTS.rglob(name)
            assert function in functions(file), f"{name} has no {function}"
