"""What the checks of 02_simple_tasks make of what was seen: each can fail, and for its own reason only."""

from __future__ import annotations

import pytest

from playbook.checks.flood import Call, Flood, Kill
from playbook.checks.simple_verdicts import (
    doubled_in_flight,
    goes_back,
    nothing_lost,
    ran_where_routed,
    retries_agree,
)
from playbook.models import Observation, System, TaskEvent

TASK = "app.tasks.work"
KILL = Kill(at=100.0, pids=(1, 2))


def event(kind: str, at: float, system: System, pid: int = 9, **fields: object) -> TaskEvent:
    values = {"at": at, "kind": kind, "system": system, "task": TASK, "id": "x", "worker": f"host:{pid}"}
    return TaskEvent.model_validate(values | fields)


def ran(number: int, system: System) -> Call:
    events = [event("start", 99.0, system), event("end", 99.1, system, outcome="success")]
    return Call(number=number, id=str(number), events=events)


def flood(*calls: Call, received: dict[int, int] | None = None, back: int = 0) -> Flood:
    counted = {call.number: 1 for call in calls} | (received or {})
    return Flood(calls=list(calls), received=counted, kills=[KILL], flips=3, back_at=0.0, back=back)


@pytest.fixture(autouse=True)
def all_while_flipping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playbook.checks.flood.AFTER", 0)


def test_what_both_systems_ran_once_each_is_fine() -> None:
    seen = flood(ran(0, "celery"), ran(1, "taskiq"))
    assert nothing_lost(seen).ok
    assert doubled_in_flight(seen, 1).ok


def test_a_call_that_did_not_arrive_is_lost() -> None:
    assert not nothing_lost(flood(ran(0, "celery"), ran(1, "taskiq"), received={1: 0})).ok


def test_a_call_that_both_systems_ran_is_a_fault() -> None:
    both = Call(number=2, id="2", events=[event("start", 99.0, "celery"), event("start", 99.0, "taskiq")])
    assert not nothing_lost(flood(ran(0, "celery"), ran(1, "taskiq"), both)).ok


def test_a_route_that_never_flipped_proves_nothing() -> None:
    assert not nothing_lost(flood(ran(0, "celery"), ran(1, "celery"))).ok


@pytest.mark.parametrize(
    ("first", "explained"),
    [
        ([event("start", 99.9, "taskiq", pid=2)], True),
        ([event("start", 99.0, "taskiq", pid=2), event("end", 99.9, "taskiq", pid=2)], True),
        ([event("start", 98.0, "taskiq", pid=2), event("end", 98.9, "taskiq", pid=2)], False),
        ([event("start", 99.9, "taskiq", pid=3)], False),
        ([event("start", 101.0, "taskiq", pid=2)], False),
    ],
    ids=["in flight", "not acknowledged yet", "over long ago", "of another worker", "after the kill"],
)
def test_a_second_start_needs_a_kill(first: list[TaskEvent], explained: bool) -> None:
    again = [event("start", 103.0, "taskiq", pid=4), event("end", 103.1, "taskiq", pid=4, outcome="success")]
    seen = flood(Call(number=0, id="0", events=[*first, *again]), received={0: 2})
    assert doubled_in_flight(seen, 1).ok is explained


def test_a_second_request_without_a_second_start_is_not_explained() -> None:
    assert not doubled_in_flight(flood(ran(0, "taskiq"), received={0: 2}), 1).ok


def test_fewer_kills_than_asked_for_prove_less() -> None:
    assert not doubled_in_flight(flood(ran(0, "taskiq")), 2).ok


@pytest.mark.parametrize(
    ("after", "fine"),
    [
        (["taskiq", "celery", "celery"], True),
        (["celery"], True),
        (["taskiq", "taskiq"], False),
        (["celery", "taskiq", "celery"], False),
    ],
)
def test_the_route_goes_back_once(after: list[System], fine: bool) -> None:
    calls = [ran(0, "taskiq"), *(ran(number, system) for number, system in enumerate(after, 1))]
    assert goes_back(flood(*calls, back=1)).ok is fine


def observation(label: str, delays: list[float]) -> Observation:
    events = []
    for attempt, delay in enumerate([*delays, None]):
        outcome = "failure" if delay is None else "retry"
        events.append(event("start", attempt, "celery", attempt=attempt))
        end = {"attempt": attempt, "outcome": outcome, "delay": delay}
        events.append(event("end", attempt + 0.5, "celery", **end))
    return Observation(scenario="s", label=label, system="celery", trace=events)


@pytest.mark.parametrize(
    ("delays", "fine"),
    [([60, 60], True), ([60], False), ([60, 61], False), ([60, 60, 60], False), ([], False)],
)
def test_attempts_and_delays_must_be_equal(delays: list[float], fine: bool) -> None:
    runs = observation("A", [60, 60]), observation("A'", [60, 60]), observation("B", delays)
    assert retries_agree(runs, TASK).ok is fine


def test_a_task_must_run_in_every_run() -> None:
    ran = observation("A", [60])
    idle = Observation(scenario="s", label="B", system="celery")
    (task,) = {one.task for one in ran.trace}
    assert ran_where_routed({"s": (ran,)}, [task]).ok
    assert f"{task} in B" in ran_where_routed({"s": (ran, idle)}, [task]).detail
