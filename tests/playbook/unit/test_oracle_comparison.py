"""When a case passes, and what an observation is made of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbook.oracle.canvas import _finest
from playbook.oracle.cases import Case
from playbook.oracle.comparison import differences, staged
from playbook.oracle.observing import Observation, observations

ENTRIES = st.lists(st.integers(0, 3) | st.text(max_size=1), max_size=8)


def case(oracle: dict[str, Any], expect: dict[str, Any] | None = None) -> Case:
    return Case("a", {"chain": []}, {}, expect or {}, oracle, {})


def seen(raised: tuple[str, ...] = (), **parts: Any) -> Observation:
    ending = {key: parts[key] for key in ("result", "error", "message", "timeout") if key in parts}
    return Observation(
        ending,
        parts.get("lists", {}),
        parts.get("counts", {}),
        parts.get("runs", {}),
        frozenset(raised),
        "AsyncResult",
    )


PASSES: list[tuple[Case, Observation]] = [
    (case({"result": 3}), seen(result=3)),
    (case({"result": None}), seen(result=None)),
    (case({"error": "A", "message": ["x", 1]}), seen(error="A", message=["x", 1])),
    # The sane reading passes, too, and says nothing about the message.
    (case({"error": "ChordError", "message": ["y"]}, {"error": "A"}), seen(error="A", message=["x"])),
    (case({"result": 1}, {"result": 2}), seen(result=2)),
    (case({"result": 1, "counts": {"eb": 2}}, {"counts": {"eb": 1}}), seen(result=1, counts={"eb": 1})),
    # Celery never resolves.
    (case({"timeout": True}), seen(timeout=True)),
    (case({"timeout": True}, {"error": "A"}), seen(error="A", message=["x"])),
    (case({"timeout": True}, {"timeout": True}), seen(error="A", message=[], raised=("A",))),
    (case({"timeout": True}), seen(error="IgnoredError", message=[], raised=("Ignore",))),
    # Lists are in stages, counters and the named tasks are counted.
    (case({"lists": {"log": [[1, 2], ["b"]]}}), seen(lists={"log": [2, 1, "b"]})),
    (case({"runs": {"add": 1}}), seen(runs={"add": 1, "mul": 7})),
    (case({"runs": {"add": 1, "celery.accumulate": 2}}), seen(runs={"add": 1})),
    # What neither side names is not compared.
    (case({"result": 1}), seen(result=1, lists={"log": [1]}, counts={"eb": 1}, runs={"add": 9})),
]

FAILS: list[tuple[Case, Observation, str]] = [
    (case({"result": 3}), seen(result=4), "ending"),
    (case({"result": 1}), seen(result=True), "ending"),
    (case({"result": 3}), seen(timeout=True), "ending"),
    (case({"result": None}), seen(error="A", message=[]), "ending"),
    (case({"error": "A", "message": ["x"]}), seen(error="A", message=["y"]), "ending"),
    (case({"error": "A", "message": ["x"]}), seen(result="x"), "ending"),
    (case({"timeout": True}, {"error": "A"}), seen(error="B", message=[], raised=("B",)), "ending"),
    (case({"timeout": True}), seen(result=1, raised=("A",)), "ending"),
    (case({"timeout": True}), seen(error="IgnoredError", message=[], raised=("A",)), "ending"),
    (case({"lists": {}}), seen(lists={"log": [1]}), "lists"),
    (case({"lists": {"log": [[1], [2]]}}), seen(lists={"log": [2, 1]}), "lists"),
    (case({"lists": {"log": [[1]]}}), seen(lists={"log": [1, 1]}), "lists"),
    (case({"lists": {"log": [[1]]}}), seen(lists={}), "lists"),
    (case({"counts": {}}), seen(counts={"eb": 1}), "counts"),
    (case({"counts": {"eb": 1}}), seen(counts={"eb": 2}), "counts"),
    (case({"runs": {"add": 1}}), seen(runs={"add": 2}), "runs of add"),
    (case({"runs": {"add": 1}}), seen(runs={}), "runs of add"),
]


@pytest.mark.parametrize(("one", "observation"), PASSES)
def test_what_the_file_allows_passes(one: Case, observation: Observation) -> None:
    assert differences(one, observation) is None


@pytest.mark.parametrize(("one", "observation", "part"), FAILS)
def test_anything_else_fails_and_says_what(one: Case, observation: Observation, part: str) -> None:
    found = differences(one, observation)
    assert found is not None
    assert (found["id"], list(found["expected"]), list(found["got"])) == ("a", [part], [part])


def test_both_readings_are_shown() -> None:
    found = differences(case({"result": 1}, {"result": 2}), seen(result=3))
    assert found == {
        "id": "a",
        "expected": {"ending": [{"result": 1}, {"result": 2}]},
        "got": {"ending": {"result": 3}},
    }


@given(ENTRIES, st.permutations(range(8)), st.integers(0, 8))
def test_recorded_stages_fit_all_rounds(entries: list[Any], order: list[int], cut: int) -> None:
    shuffled = [entries[place] for place in order if place < min(cut, len(entries))] + entries[cut:]
    stages = _finest([entries, shuffled])
    assert all(staged({"log": one}, {"log": stages}) for one in (entries, shuffled))
    assert [value for stage in stages for value in stage] == entries


def test_ids_are_replaced_by_what_ran_under_them() -> None:
    first, second, third = (
        f"{digit * 8}-{digit * 4}-{digit * 4}-{digit * 4}-{digit * 12}" for digit in "abc"
    )
    starts = [
        {"id": first, "task": "ids", "case": "0", "related": [None, first], "label": "ids:1"},
        {"id": second, "task": "fail", "case": "0", "related": [first, first], "label": "fail"},
        {"id": second, "task": "fail", "case": "0", "related": [first, first], "label": "fail"},
        {"id": "x", "task": "celery.accumulate", "case": None, "related": [second, None], "label": "x"},
        {"id": "y", "task": "celery.starmap", "case": None, "related": [None, None], "label": "y"},
    ]
    message = [f"[{second}] raised, {third} did not, kwargs:{{'oracle_case': '0'}}", third]
    written = {
        "starts": starts,
        "endings": [
            {"error": "A", "message": message, "type": "AsyncResult", "ids": [third]},
            {"result": 1, "type": "NoneType", "ids": ["y"]},
        ],
        "lists": [{"log": [[first, None, {"id": second}]]}, {}],
        "counts": [{}, {"eb": 1}],
        "raised": [["A"], []],
    }
    one, other = observations(written)
    assert one.ending["message"] == ["[<fail>] raised, <not run> did not, kwargs:{}", "<not run>"]
    assert one.lists == {"log": [["ids:1", None, {"id": "fail"}]]}
    assert one.runs == {"ids": 1, "fail": 2, "celery.accumulate": 1}
    assert (other.handle, other.runs, other.counts) == ("NoneType", {"celery.starmap": 1}, {"eb": 1})
