"""The checks of what is still queued find what is wrong."""

from typing import Any

import pytest

from playbook.checks.cutover_drain import Moved, judge

EMPTY: dict[str, Any] = {"queued": {"celery": 0}, "held": 0, "for later": 0}
GOOD: dict[str, Any] = {
    "sent": 10,
    "moved": 4,
    "before": {**EMPTY, "queued": {"celery": 4}},
    "after": EMPTY,
    "there": {"queued": {"default": 0}, "running": 0, "workflows": 0},
    "left": [],
    "lost": [],
    "doubled": [],
}


def test_a_move_without_a_loss_passes() -> None:
    assert judge(Moved(**GOOD), "Celery", "TaskIQ").ok


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"lost": ["celery-1"]}, "1 lost"),
        ({"doubled": ["celery-1, attempt 0"]}, "1 doubled"),
        ({"left": [{"where": "task a 1", "reason": "unknown"}]}, "1 left"),
        ({"after": {**EMPTY, "held": 1}}, "left on Celery"),
        ({"after": {**EMPTY, "queued": {"celery": 1}}}, "left on Celery"),
        ({"there": {"queued": {"default": 0}, "workflows": 1}}, "left on TaskIQ"),
        ({"moved": 0}, "shows nothing"),
    ],
)
def test_each_fault_fails(wrong: dict[str, Any], says: str) -> None:
    result = judge(Moved(**{**GOOD, **wrong}), "Celery", "TaskIQ")
    assert not result.ok
    assert says in result.detail
