"""What the driver has written down, in the terms of a case file: one observation for each case."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from playbook.oracle.tags import TAG

ENDING = ("result", "error", "message", "timeout")
"""The fields that say how a case ended."""

NOT_RUN = "<not run>"
TASK_ID = re.compile(r"\b[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\b")
TAG_TEXT = re.compile(rf"'{TAG}': '\d+'(, )?|, '{TAG}': '\d+'")


@dataclass(frozen=True)
class Observation:
    """What one case did.

    Attributes:
        ending: `result`; or `error` (the type's name) and `message` (its arguments); or `timeout`.
        lists: Redis list -> its entries in order.
        counts: Redis counter -> its value.
        runs: task -> number of attempts that started.
        raised: names of the errors that its tasks raised.
        handle: name of the type of what the caller got.
    """

    ending: dict[str, Any]
    lists: dict[str, list[Any]]
    counts: dict[str, int]
    runs: dict[str, int]
    raised: frozenset[str]
    handle: str

    def to_json(self) -> dict[str, Any]:
        """Return it as messages show it."""
        return {**self.ending, "lists": self.lists, "counts": self.counts, "runs": self.runs}


def observations(written: dict[str, Any]) -> list[Observation]:
    """Read what the driver wrote, one observation for each of its cases."""
    labels = {start["id"]: start["label"] for start in written["starts"]}
    runs = _runs(written)
    plain = _without_ids(labels)
    return [
        Observation(
            ending=plain({key: ending[key] for key in ENDING if key in ending}),
            lists=plain(written["lists"][number]),
            counts=written["counts"][number],
            runs=dict(sorted(runs[number].items())),
            raised=frozenset(written["raised"][number]),
            handle=ending["type"],
        )
        for number, ending in enumerate(written["endings"])
    ]


def _runs(written: dict[str, Any]) -> list[Counter[str]]:
    """Count the starts of each case. A task of Celery's own has no tag; its case is that of its relatives."""
    cases = {task_id: str(n) for n, ending in enumerate(written["endings"]) for task_id in ending["ids"]}
    cases |= {start["id"]: start["case"] for start in written["starts"] if start["case"] is not None}
    runs: list[Counter[str]] = [Counter() for _ in written["endings"]]
    for start in written["starts"]:
        case = next((cases[known] for known in (start["id"], *start["related"]) if known in cases), None)
        if case is not None:
            cases[start["id"]] = case
            runs[int(case)][start["task"]] += 1
    return runs


def _without_ids(labels: dict[str, str]) -> Callable[[Any], Any]:
    """Return a function that replaces task ids everywhere in a value."""

    def label(found: re.Match[str]) -> str:
        known = labels.get(found.group())
        return f"<{known}>" if known else NOT_RUN

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        if not isinstance(value, str):
            return value
        if value in labels:
            return labels[value]
        return TASK_ID.sub(label, TAG_TEXT.sub("", value))

    return plain
