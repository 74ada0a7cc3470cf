"""The comparison as its callers see it: what it refuses, what it says, and what a policy changes."""

from __future__ import annotations

import pytest

from playbook.parity import Backoff, Comparison, Policy, compare, promised_order
from tests.playbook.unit.parity_samples import LIVE, WEBHOOK, Data, Run, live, observation, upload


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
        (
            CHORD,
            {
                "wave mp3",
                *(f"{one} {other}" for one in ("wave", "mp3", "title", "summary") for other in ("zulip",)),
            },
        ),
        ({"chain": [{"task": "a"}, {"group": [{"task": "b"}, {"task": "c"}]}]}, {"a b", "a c"}),
        ({"chain": [{"task": "a"}, {"unknown": "x()"}, {"each": {"task": "b"}, "over": "xs"}]}, {"a b"}),
        ({"group": [{"task": "a"}, {"task": "b"}]}, set()),
        ({"task": "a", "immutable": True}, set()),
    ],
)
def test_a_canvas_promises_the_order_of_its_steps(structure: Data, expected: set[str]) -> None:
    if structure is CHORD:
        expected |= {"wave summary", "mp3 summary", "title summary"}

    assert {" ".join(pair) for pair in promised_order([structure])} == expected


STEPS = {
    "chord": {
        "header": [
            {
                "chain": [
                    {"task": LIVE + "task_pipeline_waveform"},
                    {"task": LIVE + "task_pipeline_upload_mp3"},
                ]
            },
            {"task": LIVE + "task_pipeline_title"},
        ],
        "body": {
            "chain": [
                {"task": LIVE + "task_pipeline_final_summaries"},
                {"task": LIVE + "task_pipeline_post_to_zulip"},
            ]
        },
    }
}


def early_title(data: Data) -> Data:
    """Let the title end before the upload starts, as a fast machine would."""
    for event in data["trace"]:
        if event["task"] == LIVE + "task_pipeline_upload_mp3":
            event["at"] += 2 if event["kind"] == "start" else 3
        elif "waveform" not in event["task"] and "title" not in event["task"]:
            event["at"] += 10
    for item in (*data["effects"]["requests"][1:], *data["effects"]["messages"][2:]):
        item["at"] += 10
    return data


def test_an_order_by_chance_is_no_promise_of_a_canvas() -> None:
    old = [observation(early_title(live(seed))) for seed in (1, 3)]
    new = observation(live(5, "taskiq"))

    assert {finding.kind for finding in compare(*old, new).findings} == {"order"}
    assert compare(*old, new, Policy(promised=promised_order([STEPS]))).ok


def test_a_promise_of_a_canvas_is_held_to() -> None:
    new = live(5, "taskiq")
    body = [event for event in new["trace"] if event["task"].endswith("final_summaries")]
    for event in body:
        event["at"] -= 1
    policy = Policy(promised=promised_order([STEPS]))

    findings = compare(observation(live(1)), observation(live(3)), observation(new), policy).findings

    assert "order" in {finding.kind for finding in findings}


def test_times_of_two_controls_in_one_second_are_no_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of a short scenario may sign their webhook in the same second."""
    begin = Run.__init__

    def begin_at_once(self: Run, seed: int, scenario: str, system: str) -> None:
        begin(self, seed, scenario, system)
        self.now = 1_790_000_000.0

    monkeypatch.setattr(Run, "__init__", begin_at_once)
    runs: dict[str, list[Data]] = {}
    for seed in range(40):
        data = upload(seed)
        runs.setdefault(signed_at(data), []).append(data)
    same, other = sorted(runs.values(), key=len, reverse=True)[:2]
    assert len(same) > 1
    a, a_again, b = (observation(data) for data in (*same[:2], other[0]))
    assert not [finding for finding in compare(a, a_again, b).findings if "signature" in str(finding).lower()]


def signed_at(data: Data) -> str:
    """Return the second at which the first webhook was signed."""
    headers = [request["headers"] for request in data["effects"]["requests"]]
    return next(h["X-Webhook-Signature"].partition(",")[0] for h in headers if "X-Webhook-Signature" in h)
