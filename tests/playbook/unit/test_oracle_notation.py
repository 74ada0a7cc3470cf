"""Case files: what is refused, how structures are walked, and how a call is worked out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from playbook.oracle.bodies import NAMES
from playbook.oracle.calls import call_of
from playbook.oracle.cases import read_cases
from playbook.oracle.errors import CaseFileError
from playbook.oracle.notation import NotationError, check, kind_of, walk

CASES = Path(__file__).parents[1] / "oracle" / "canvas_cases.json"
TASK = {"task": "add", "args": [1, 2]}


def test_the_recorded_cases_are_readable() -> None:
    cases = read_cases(CASES).cases
    assert len(cases) == len(json.loads(CASES.read_text())["cases"])
    assert {node["task"] for case in cases for node in walk(case.structure) if "task" in node} <= NAMES


@pytest.mark.parametrize(
    ("structure", "reason"),
    [
        ([], "structure must be an object with one of task, chain"),
        ({"task": "add", "chain": []}, "structure must be an object with one of"),
        ({"task": "subtract"}, "structure.task is 'subtract'; the oracle has no such task"),
        ({"task": []}, "structure.task is []; the oracle has no such task"),
        ({"task": "add", "kwargs": [1]}, "structure.kwargs must be an object"),
        ({"task": "add", "arguments": []}, "structure has unknown fields: arguments"),
        ({"chain": TASK}, "structure.chain must be a list"),
        ({"chain": [TASK, {"task": 5}]}, "structure.chain[1].task is 5"),
        ({"chord": {"header": [TASK]}}, "structure.chord must be an object with header and body"),
        ({"chord": {"header": [TASK, 1], "body": TASK}}, "structure.chord.header[1] must be an object"),
        ({"group": [{"repeat": "x", "of": TASK}]}, "structure.group[0] must be {repeat: a whole number"),
        ({"group": [{"repeat": 2, "of": {}}]}, "structure.group[0].of[0] must be an object"),
        ({**TASK, "link": [{"task": "none"}]}, "structure.link[0].task is 'none'"),
        ({"starmap": {"task": "add", "it": [1]}}, "structure.starmap.it must hold lists"),
        ({"map": {"task": "add"}}, "structure.map must be an object with it, task"),
        ({"chunks": {"task": "add", "it": [], "n": 0}}, "structure.chunks.n must be above 0"),
    ],
)
def test_a_structure_that_does_not_follow_the_notation_is_refused(structure: Any, reason: str) -> None:
    with pytest.raises(NotationError) as refused:
        check(structure)
    assert str(refused.value).startswith(reason)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not JSON"),
        ("[]", "must hold an object with a list of cases"),
        ('{"cases": [{}]}', "case 0 must be an object with an id"),
        ('{"cases": [{"id": "a", "structure": {"group": 1}}]}', "case a: structure.group must be a list"),
        ('{"cases": [{"id": "a", "structure": {"group": []}, "expect": 1}]}', "case a: expect must be an"),
        ('{"cases": [{"id": "a", "structure": {"group": []}, "call": {"args": 1}}]}', "case a: call must be"),
        (json.dumps({"cases": [{"id": "a", "structure": TASK}] * 2}), "two cases are called a"),
    ],
)
def test_an_unusable_file_is_refused_in_one_line(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "cases.json"
    file.write_text(content)
    with pytest.raises(CaseFileError) as refused:
        read_cases(file)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseFileError, match="cannot be read"):
        read_cases(tmp_path / "none.json")


def test_repeated_nodes_and_callbacks_are_walked() -> None:
    structure = {
        "group": [{"repeat": 2, "of": {"chain": [TASK, {"repeat": 3, "of": TASK}]}}],
        "link_error": {"task": "fail", "link": [TASK]},
    }
    check(structure)
    kinds = [kind_of(node) for node in walk(structure)]
    assert (kinds.count("chain"), kinds.count("task")) == (2, 10)


@pytest.mark.parametrize(
    ("structure", "tags", "recorded", "call"),
    [
        (TASK, [], {"result": 3}, {}),
        ({"task": "add", "args": [1]}, [], {"result": 6}, {"args": [5]}),
        ({"task": "add"}, [], {"result": 7}, {"args": [0, 7]}),
        (
            {"chain": [{"task": "add", "args": [1]}, {"task": "mul", "args": [2]}]},
            [],
            {"result": 8},
            {"args": [3]},
        ),
        (
            {"chord": {"header": [{"task": "add", "args": [1]}], "body": {"task": "tsum"}}},
            [],
            {"result": 5},
            {"args": [4]},
        ),
        (
            {"task": "echo_args", "args": ["b"], "kwargs": {"k": 1, "j": 2}},
            ["partial"],
            {"result": {"args": ["a", "b"], "kwargs": {"k": 9, "j": 2}}},
            {"args": ["a"], "kwargs": {"k": 9, "j": 2}},
        ),
        (
            {"task": "echo_args", "args": ["b"], "immutable": True},
            ["partial"],
            {"result": {"args": ["b"], "kwargs": {}}},
            {},
        ),
        ({"task": "identity"}, [], {"result": "text"}, {"args": ["text"]}),
        # A result that does not fit is a difference, not a call.
        (TASK, [], {"result": 4}, {}),
        ({"task": "fail"}, [], {"error": "ExpectedError"}, {}),
        (TASK, ["countdown"], {"result": 3}, {"options": {"countdown": 0.5}}),
        ({**TASK, "options": {"countdown": 1}}, ["countdown"], {"result": 3}, {}),
        ({"task": "redis_count", "args": ["key"]}, [], {"result": 1}, {}),
    ],
)
def test_what_a_case_was_called_with_is_worked_out(
    structure: dict[str, Any], tags: list[str], recorded: dict[str, Any], call: dict[str, Any]
) -> None:
    assert call_of(structure, tags, recorded) == call


def test_a_call_in_the_file_counts(tmp_path: Path) -> None:
    file = tmp_path / "cases.json"
    call = {"args": [4], "options": {"countdown": 0.1}}
    file.write_text(json.dumps({"cases": [{"id": "a", "structure": TASK, "call": call}]}))
    assert read_cases(file).cases[0].call == call
