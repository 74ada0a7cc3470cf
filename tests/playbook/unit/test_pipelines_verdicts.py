"""What the checks of 03_pipelines make of what was seen: each can fail, and for its own reason only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from playbook.checks.pipelines_kills import KILLED, Kill, Kills
from playbook.checks.pipelines_lab import Result, Run
from playbook.checks.pipelines_scenarios import SUMMARIES, ZULIP
from playbook.checks.pipelines_verdicts import (
    attempts,
    callbacks_once,
    caller_gets,
    failure_stops,
    gaps,
    order_is_kept,
    ran_on_route,
    results_agree,
    survived,
    told_in_order,
)
from playbook.models import Effects, Message, Observation, Request, System, TaskEvent

FIRST, SECOND = "app.tasks.first", "app.tasks.second"
PROMISED = frozenset({(FIRST, SECOND)})
Step = tuple[str, float, float, str]


def events(steps: Sequence[Step], transcript: str = "t", system: System = "taskiq") -> list[TaskEvent]:
    found = []
    for task, start, end, outcome in steps:
        same: dict[str, Any] = {"system": system, "task": task, "id": f"{transcript} {task}", "worker": "h:1"}
        found.append(TaskEvent(at=start, kind="start", kwargs={"transcript_id": transcript}, **same))
        found.append(TaskEvent.model_validate({"at": end, "kind": "end", "outcome": outcome, **same}))
    return found


def seen(*steps: Step, label: str = "B", **effects: Any) -> Observation:
    trace = events(steps)
    return Observation(scenario="live", label=label, system="taskiq", effects=Effects(**effects), trace=trace)


def post(service: str = "zulip") -> Request:
    return Request(at=5.0, service=service, method="POST", path="/")


GOOD: tuple[Step, Step] = ((FIRST, 1.0, 2.0, "success"), (SECOND, 2.0, 3.0, "success"))


def test_an_order_that_is_kept() -> None:
    assert order_is_kept([seen(*GOOD)], PROMISED).ok


@pytest.mark.parametrize(
    "steps",
    [
        ((FIRST, 1.0, 2.0, "success"), (SECOND, 1.9, 3.0, "success")),
        ((SECOND, 1.0, 2.0, "success"), (FIRST, 2.0, 3.0, "success")),
        ((FIRST, 1.0, 2.0, "success"),),
    ],
    ids=["overlaps", "swapped", "was never seen"],
)
def test_an_order_that_is_not(steps: tuple[Step, ...]) -> None:
    assert not order_is_kept([seen(*steps)], PROMISED).ok


def test_tasks_of_different_transcripts_have_no_order() -> None:
    trace = events(GOOD) + events(((SECOND, 0.0, 0.5, "success"), (FIRST, 9.0, 9.5, "success")), "other")
    run = Observation(scenario="s", label="B", system="taskiq", trace=trace[:4] + trace[6:])
    assert order_is_kept([run], PROMISED).ok


def test_nothing_promised_proves_nothing() -> None:
    assert not order_is_kept([seen(*GOOD)], frozenset()).ok


FAILED: Step = (FIRST, 1.0, 2.0, "failure")


def test_a_failure_stops_what_comes_after_it() -> None:
    assert failure_stops((seen(FAILED),), PROMISED).ok


@pytest.mark.parametrize(
    "run",
    [seen(FAILED, GOOD[1]), seen(FAILED, requests=[post()]), seen(FAILED, requests=[post("webhooks")])],
    ids=["the next step ran", "it was posted", "a webhook was called"],
)
def test_a_failure_that_does_not(run: Observation) -> None:
    assert not failure_stops((run,), PROMISED).ok


def test_a_run_in_which_nothing_fails_proves_nothing() -> None:
    assert not failure_stops((seen(FAILED), seen(*GOOD, label="A")), PROMISED).ok


def browser(*events_: str) -> Observation:
    rows = {
        "transcript": [{"id": "1", "name": "talk"}],
        "transcript_event": [
            {"transcript_id": "1", "sequence": number, "event": name} for number, name in ((2, "b"), (1, "a"))
        ],
    }
    messages = [Message(at=0.0, channel="transcript talk", data={"event": name}) for name in events_]
    return seen(rows=rows, messages=messages)


@pytest.mark.parametrize(
    ("got", "fine"),
    [(("a", "b"), True), (("a",), False), (("b", "a"), False), (("a", "b", "b"), False), ((), False)],
)
def test_browsers_are_told_everything_once_in_order(got: tuple[str, ...], fine: bool) -> None:
    assert told_in_order([browser(*got)]).ok is fine


def run_with(results: list[tuple[str, Result]], by_hand: Result | None = None) -> Run:
    return Run(observation=seen(*GOOD), results=results, by_hand=by_hand)


DONE, MISSING = Result(state="SUCCESS"), Result(state="missing")
ERROR, OTHER = Result(state="FAILURE", error="KeyError"), Result(state="FAILURE", error="ValueError")


@pytest.mark.parametrize(
    ("got", "fine"),
    [
        ([(FIRST, DONE), (SECOND, ERROR)], True),
        ([(FIRST, DONE), (SECOND, OTHER)], False),
        ([(FIRST, DONE), (SECOND, MISSING)], False),
        ([(FIRST, DONE)], False),
    ],
)
def test_results_must_be_there_and_equal(got: list[tuple[str, Result]], fine: bool) -> None:
    assert results_agree([run_with([(FIRST, DONE), (SECOND, ERROR)]), run_with(got)]).ok is fine


@pytest.mark.parametrize(
    ("first", "second", "fine"),
    [(ERROR, ERROR, True), (ERROR, OTHER, False), (ERROR, DONE, False), (DONE, DONE, False)],
)
def test_a_caller_gets_what_celerys_caller_gets(first: Result, second: Result, fine: bool) -> None:
    assert caller_gets([run_with([], first), run_with([], second)], "FAILURE").ok is fine


def test_a_task_on_the_other_system_or_on_none_is_found() -> None:
    run = seen(*GOOD)
    assert ran_on_route({"live": (run,)}, [FIRST, SECOND]).ok
    assert not ran_on_route({"live": (run,)}, [FIRST, "app.tasks.never"]).ok
    elsewhere = run.model_copy(update={"system": "celery"})
    assert not ran_on_route({"live": (elsewhere,)}, [FIRST]).ok
    idle = run.model_copy(update={"trace": [], "label": "idle"})
    assert "first in idle" in ran_on_route({"live": (run, idle)}, [FIRST]).detail


def killed_once_each() -> Kills:
    """Every task starts in process 1n, is killed there, and ends in the next one."""
    trace, kills = [], []
    for number, (task, _) in enumerate(KILLED):
        at = 10.0 * number
        same = {"system": "taskiq", "task": task, "id": task}
        trace.append(TaskEvent(at=at, kind="start", worker=f"h:{number}", **same))
        kills.append(Kill(task=task, at=at + 1, pids=(number,)))
        trace.append(TaskEvent(at=at + 4, kind="start", worker="h:99", **same))
        trace.append(TaskEvent(at=at + 5, kind="end", worker="h:99", outcome="success", **same))
    messages = [
        Message(at=0.0, channel="transcript t", data={"event": event})
        for event in ("FINAL_LONG_SUMMARY", "FINAL_SHORT_SUMMARY")
    ]
    effects = Effects(messages=messages, requests=[post()])
    run = Observation(scenario="live", label="B", system="taskiq", effects=effects, trace=trace)
    return Kills(observation=run, kills=kills)


def without(kills: Kills, event: TaskEvent) -> Kills:
    trace = [each for each in kills.observation.trace if each is not event]
    return with_trace(kills, trace)


def with_trace(kills: Kills, trace: list[TaskEvent]) -> Kills:
    return kills.model_copy(update={"observation": kills.observation.model_copy(update={"trace": trace})})


def test_a_pipeline_that_survives() -> None:
    kills = killed_once_each()
    assert survived(kills).ok
    assert callbacks_once(kills).ok
    assert [row.seconds_until_again for row in attempts(kills)] == [3.0] * len(KILLED)
    assert len(kills.as_if_unharmed.trace) == 2 * len(KILLED)
    assert sum(died for _, _, died in kills.spans) == len(KILLED)


@pytest.mark.parametrize("lost", ["start", "end"])
def test_a_task_that_is_not_killed_or_does_not_end(lost: str) -> None:
    kills = killed_once_each()
    event = next(event for event in kills.observation.trace if event.kind == lost)
    assert not survived(without(kills, event)).ok


def test_a_start_that_no_kill_explains() -> None:
    kills = killed_once_each()
    more = kills.observation.trace[1].model_copy(update={"worker": "h:77"})
    assert not survived(with_trace(kills, [*kills.observation.trace, more])).ok


def test_fewer_kills_than_tasks() -> None:
    kills = killed_once_each()
    assert not survived(kills.model_copy(update={"kills": kills.kills[1:]})).ok


@pytest.mark.parametrize("doubled", ["message", "request", SUMMARIES, ZULIP])
def test_a_callback_that_runs_twice(doubled: str) -> None:
    kills = killed_once_each()
    effects, trace = kills.observation.effects, list(kills.observation.trace)
    if doubled == "message":
        effects = effects.model_copy(update={"messages": effects.messages * 2})
    elif doubled == "request":
        effects = effects.model_copy(update={"requests": effects.requests * 2})
    else:
        trace += [event for event in trace if event.task == doubled and event.kind == "end"]
    run = kills.observation.model_copy(update={"effects": effects, "trace": trace})
    assert not callbacks_once(kills.model_copy(update={"observation": run})).ok


def test_gaps_tell_how_close_an_order_was() -> None:
    (gap,) = gaps(seen(FAILED, (SECOND, 2.25, 3.0, "success")), PROMISED)
    assert gap == {"this ended": "first", "before this started": "second", "seconds between": 0.25}
