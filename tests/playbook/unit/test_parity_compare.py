"""The comparison as its callers see it: what it refuses, what it says, and what a policy changes."""

from __future__ import annotations

import pytest

from playbook.parity import Backoff, Comparison, Policy, compare, parallel_tasks
from tests.playbook.unit.parity_samples import LIVE, WEBHOOK, Data, live, observation, upload


def test_runs_of_different_scenarios_are_refused() -> None:
    with pytest.raises(ValueError, match="one scenario"):
        compare(observation(upload(1)), observation(upload(2)), observation(live(3)))


def test_controls_of_different_systems_are_refused() -> None:
    with pytest.raises(ValueError, match="one system"):
        compare(observation(upload(1)), observation(upload(2, "taskiq")), observation(upload(3)))


def test_a_single_control_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two"):
        compare(observation(upload(1)), [], observation(upload(3)))


def test_nothing_observed_is_no_agreement() -> None:
    empty = {"scenario": "upload", "label": "x", "system": "celery"}

    comparison = compare(observation(empty), observation(empty), observation(empty))

    assert [finding.kind for finding in comparison.findings] == ["empty"]


def test_a_comparison_survives_json() -> None:
    new = upload(3, "taskiq")
    new["effects"]["rows"]["transcript"][0]["title"] = "Other"
    comparison = compare(observation(upload(1)), observation(upload(2)), observation(new))

    assert Comparison.model_validate_json(comparison.model_dump_json()) == comparison
    assert comparison.labels == ["celery 1", "celery 2", "taskiq 3"]
    assert comparison.compared["rows.transcript_event"] == 7


def retried_after(data: Data, *delays: float) -> Data:
    """Let the webhook wait other times before its retries."""
    (delay,) = delays
    events = [event for event in data["trace"] if event["task"] == WEBHOOK]
    shift = delay - 60.0
    events[1]["delay"] = delay
    for item in (*events[2:], data["effects"]["requests"][-1]):
        item["at"] += shift
    return data


@pytest.mark.parametrize(("delay", "ok"), [(0.5, True), (3.9, True), (4.5, False)])
def test_a_jittered_delay_must_lie_within_the_back_off(delay: float, ok: bool) -> None:
    policy = Policy(backoff={WEBHOOK: Backoff(factor=4, maximum=600)})
    old = [observation(retried_after(upload(seed), seconds)) for seed, seconds in ((1, 1.0), (2, 3.0))]

    comparison = compare(old[0], old[1], observation(retried_after(upload(3, "taskiq"), delay)), policy)

    assert comparison.ok is ok, comparison.findings


def test_back_off_grows_to_its_maximum() -> None:
    assert Backoff(factor=2, maximum=10, jitter=False).bounds(0) == (2, 2)
    assert Backoff(factor=2, maximum=10).bounds(2) == (0, 8)
    assert Backoff(factor=2, maximum=10).bounds(5) == (0, 10)


CHORD = {
    "chord": {
        "header": [{"chain": [{"task": "wave"}, {"task": "mp3"}]}, {"task": "title"}],
        "body": {"chain": [{"task": "summary"}, {"task": "zulip"}]},
    }
}


@pytest.mark.parametrize(
    ("structure", "expected"),
    [
        (CHORD, {("wave", "title"), ("mp3", "title")}),
        (
            {"chord": {"header": {"group": CHORD["chord"]["header"]}, "body": {"task": "x"}}},
            {("wave", "title"), ("mp3", "title")},
        ),
        (
            {"chain": [{"task": "a"}, {"group": [{"task": "b"}, {"task": "c"}, {"unknown": "x()"}]}]},
            {("b", "c")},
        ),
        ({"chain": [{"task": "a"}, {"task": "b"}]}, set()),
    ],
)
def test_branches_of_a_canvas_are_parallel(structure: Data, expected: set[tuple[str, str]]) -> None:
    assert parallel_tasks(structure) == {frozenset(pair) for pair in expected}


def test_an_order_by_chance_can_be_declared() -> None:
    """Both controls let the title end before the upload starts; only the machine's speed says so."""

    def early_title(data: Data) -> Data:
        for event in data["trace"]:
            if event["task"] == LIVE + "task_pipeline_upload_mp3":
                event["at"] += 2 if event["kind"] == "start" else 3
            elif "waveform" not in event["task"] and "title" not in event["task"]:
                event["at"] += 10
        return data

    old = [observation(early_title(live(seed))) for seed in (1, 3)]
    new = observation(live(5, "taskiq"))
    pair = frozenset({LIVE + "task_pipeline_title", LIVE + "task_pipeline_upload_mp3"})

    assert not compare(*old, new).ok
    assert {f.kind for f in compare(*old, new).findings} == {"order"}
    unordered = compare(*old, new, Policy(unordered=frozenset({pair}))).findings
    assert not any("title" in finding.explanation for finding in unordered), unordered
