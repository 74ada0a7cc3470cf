"""Planted faults: each is one that a migration has made or could make, and each must be found where it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from playbook.parity import Comparison, Policy, compare
from tests.playbook.unit.parity_samples import FILE, LIVE, POLL, WEBHOOK, Data, live, observation, upload

POLICY = Policy(folders=("/srv/run-1", "/srv/run-2", "/srv/run-7"))


def compared(make: Callable[..., Data], damage: Callable[[Data], Any] | None = None) -> Comparison:
    new = make(7, "taskiq")
    if damage:
        damage(new)
    return compare(observation(make(1)), observation(make(2)), observation(new), POLICY)


def of(data: Data, task: str) -> list[Data]:
    return [event for event in data["trace"] if event["task"].endswith(task)]


def requests(data: Data, service: str) -> list[Data]:
    return [request for request in data["effects"]["requests"] if request["service"] == service]


def rows(data: Data, table: str) -> list[Data]:
    return data["effects"]["rows"][table]


def shift(items: list[Data], seconds: float) -> None:
    for item in items:
        item["at"] += seconds


def swap_times(one: Data, other: Data) -> None:
    one["at"], other["at"] = other["at"], one["at"]


def dropped_barrier(data: Data) -> None:
    """The chain became sends in a row: Zulip starts while the consent clean-up still runs."""
    start = of(data, "task_cleanup_consent")[0]["at"]
    post = of(data, "post_to_zulip") + requests(data, "zulip")
    shift(post, start + 0.01 - post[0]["at"])


def swapped_tasks(data: Data) -> None:
    consent, zulip = of(data, "task_cleanup_consent"), of(data, "post_to_zulip")
    gap = zulip[0]["at"] - consent[0]["at"]
    shift(consent, gap + 2)
    shift(zulip + requests(data, "zulip"), -gap)


def zulip_before_processing_ends(data: Data) -> None:
    """The post is fired early although its task runs in order."""
    early = of(data, "task_pipeline_file_process")[0]["at"] + 0.05
    shift(requests(data, "zulip")[:1], early - requests(data, "zulip")[0]["at"])


def fire_and_forget(data: Data) -> None:
    """The task ends before its request is made."""
    shift(requests(data, "zulip")[1:], 0.7)


def swapped_requests(data: Data) -> None:
    first, second = requests(data, "llm")
    swap_times(first, second)


def lost_retry(data: Data) -> None:
    del of(data, WEBHOOK)[2:]
    data["trace"] = [event for event in data["trace"] if (event["task"], event["attempt"]) != (WEBHOOK, 1)]
    data["effects"]["requests"].remove(requests(data, "webhook")[1])


def lost_retry_without_effects(data: Data) -> None:
    data["trace"] = [event for event in data["trace"] if (event["task"], event["attempt"]) != (WEBHOOK, 1)]


def planned_delay(data: Data) -> None:
    of(data, WEBHOOK)[1]["delay"] = 120.0


def no_delay_planned(data: Data) -> None:
    of(data, WEBHOOK)[1]["delay"] = None


def delay_ignored(data: Data) -> None:
    """The label says 60 s, the retry comes at once."""
    shift(
        [event for event in of(data, WEBHOOK) if event["attempt"] == 1] + requests(data, "webhook")[1:], -59.9
    )


def delay_too_late(data: Data) -> None:
    shift(
        [event for event in of(data, WEBHOOK) if event["attempt"] == 1] + requests(data, "webhook")[1:], 30.0
    )


def retry_header_zero(data: Data) -> None:
    requests(data, "webhook")[1]["headers"]["X-Webhook-Retry"] = "0"


def lost_schedule(data: Data) -> None:
    data["trace"] = [event for event in data["trace"] if event["task"] != POLL]


def lost_firing(data: Data) -> None:
    id_ = of(data, POLL)[0]["id"]
    data["trace"] = [event for event in data["trace"] if event["id"] != id_]


def extra_firing(data: Data) -> None:
    extra = [event | {"id": "poll-poll-poll-4", "at": event["at"] + 5} for event in of(data, POLL)[:2]]
    data["trace"] += extra


def uncommitted_row(data: Data) -> None:
    rows(data, "zulip_message").clear()


def lost_update(data: Data) -> None:
    rows(data, "transcript")[0]["title"] = None


def double_delivery(data: Data) -> None:
    data["trace"] += [event | {"at": event["at"] + 1} for event in of(data, "task_cleanup_consent")]


def double_execution(data: Data) -> None:
    id_ = "0b7f6f0e-1111-4222-8333-444455556666"
    data["trace"] += [
        event | {"id": id_, "at": event["at"] + 90} for event in of(data, "task_cleanup_consent")
    ]


def double_post(data: Data) -> None:
    post = requests(data, "zulip")[0]
    data["effects"]["requests"].append(post | {"at": post["at"] + 0.5})


def missing_message(data: Data) -> None:
    del data["effects"]["messages"][3]


def missing_last_message(data: Data) -> None:
    del data["effects"]["messages"][-1]


def double_message(data: Data) -> None:
    data["effects"]["messages"].append(data["effects"]["messages"][-1])


def reordered_messages(data: Data) -> None:
    messages = data["effects"]["messages"]
    messages[4], messages[5] = messages[5], messages[4]


def message_of_another_transcript(data: Data) -> None:
    data["effects"]["messages"][3]["channel"] = "ts:99999999-1111-4222-8333-444455556666"


def missing_webhook(data: Data) -> None:
    for request in requests(data, "webhook"):
        data["effects"]["requests"].remove(request)


def unsigned_webhook(data: Data) -> None:
    del requests(data, "webhook")[0]["headers"]["X-Webhook-Signature"]


def renamed_task(data: Data) -> None:
    for event in of(data, "task_cleanup_consent"):
        event["task"] += "_taskiq"


def positional_argument(data: Data) -> None:
    for event in of(data, "post_to_zulip"):
        event["args"], event["kwargs"] = [event["kwargs"]["transcript_id"]], {}


def payload_field(data: Data) -> None:
    requests(data, "webhook")[1]["body"]["transcript"]["title"] = "Budget"


def payload_type(data: Data) -> None:
    rows(data, "transcript")[0]["duration"] = 12_000.0


def payload_field_gone(data: Data) -> None:
    del requests(data, "webhook")[1]["body"]["timestamp"]


def extra_request(data: Data) -> None:
    first = requests(data, "llm")[0]
    data["effects"]["requests"].append(first | {"body": {"messages": ["TASK: title"]}})


def other_status(data: Data) -> None:
    requests(data, "zulip")[0]["status"] = 500


def missing_object(data: Data) -> None:
    del data["effects"]["objects"][0]


def changed_object(data: Data) -> None:
    data["effects"]["objects"][0]["sha256"] = "ee" * 32


def missing_file(data: Data) -> None:
    data["effects"]["files"].clear()


def message_left_in_queue(data: Data) -> None:
    data["effects"]["queue_messages"].append({"queue": "recordings", "body": {"key": "other.wav"}})


def status_history(data: Data) -> None:
    del rows(data, "transcript_status")[1]


def status_order(data: Data) -> None:
    first, second = rows(data, "transcript_status")[:2]
    first["status"], second["status"] = second["status"], first["status"]


def event_order(data: Data) -> None:
    first, second = rows(data, "transcript_event")[4:6]
    first["sequence"], second["sequence"] = second["sequence"], first["sequence"]


def event_numbering(data: Data) -> None:
    rows(data, "transcript_event")[-1]["sequence"] += 1


def failed_task(data: Data) -> None:
    of(data, "task_cleanup_consent")[1].update(outcome="failure", error="ValueError('no meeting')")


def never_ended(data: Data) -> None:
    data["trace"].remove(of(data, "task_cleanup_consent")[1])


def row_of_another_transcript(data: Data) -> None:
    rows(data, "zulip_message")[0]["transcript_id"] = rows(data, "room")[0]["id"]


def unknown_reference(data: Data) -> None:
    rows(data, "topic")[0]["transcript_id"] = "99999999-1111-4222-8333-444455556666"


def swapped_topics(data: Data) -> None:
    messages = [m["data"]["data"] for m in data["effects"]["messages"] if m["data"]["event"] == "TOPIC"]
    messages[0]["id"], messages[1]["id"] = messages[1]["id"], messages[0]["id"]


def wrong_service_id(data: Data) -> None:
    requests(data, "zulip")[1]["path"] = "/zulip/api/v1/messages/55"


def wrong_expiry(data: Data) -> None:
    """Retention of 6 days instead of 7: a time, but not one of this run."""
    row = rows(data, "transcript")[0]
    row["expires_at"] = row["created_at"].replace(row["created_at"][8:10], "27")


def missing_table(data: Data) -> None:
    del data["effects"]["rows"]["room"]


UPLOAD_FAULTS = [
    (dropped_barrier, "order"),
    (swapped_tasks, "order"),
    (zulip_before_processing_ends, "order"),
    (fire_and_forget, "order"),
    (swapped_requests, "order"),
    (lost_retry, "changed"),
    (lost_retry_without_effects, "changed"),
    (planned_delay, "delay"),
    (no_delay_planned, "delay"),
    (delay_ignored, "delay"),
    (delay_too_late, "delay"),
    (retry_header_zero, "changed"),
    (lost_schedule, "missing"),
    (lost_firing, "missing"),
    (extra_firing, "extra"),
    (uncommitted_row, "missing"),
    (lost_update, "changed"),
    (double_delivery, "changed"),
    (double_execution, "extra"),
    (double_post, "extra"),
    (missing_message, "missing"),
    (missing_last_message, "missing"),
    (double_message, "extra"),
    (reordered_messages, "order"),
    (message_of_another_transcript, "link"),
    (missing_webhook, "missing"),
    (unsigned_webhook, "changed"),
    (renamed_task, "missing"),
    (positional_argument, "changed"),
    (payload_field, "changed"),
    (payload_type, "changed"),
    (payload_field_gone, "changed"),
    (extra_request, "extra"),
    (other_status, "changed"),
    (missing_object, "missing"),
    (changed_object, "changed"),
    (missing_file, "missing"),
    (message_left_in_queue, "extra"),
    (status_history, "missing"),
    (status_order, "order"),
    (event_order, "order"),
    (event_numbering, "changed"),
    (failed_task, "changed"),
    (never_ended, "changed"),
    (row_of_another_transcript, "link"),
    (unknown_reference, "link"),
    (swapped_topics, "link"),
    (wrong_service_id, "link"),
    (wrong_expiry, "changed"),
    (missing_table, "missing"),
]


@pytest.mark.parametrize(
    ("fault", "kind"), UPLOAD_FAULTS, ids=lambda value: getattr(value, "__name__", value)
)
def test_fault_of_an_upload_is_found(fault: Callable[[Data], None], kind: str) -> None:
    comparison = compared(upload, fault)

    assert not comparison.ok
    assert kind in {finding.kind for finding in comparison.findings}, comparison.findings
    assert len(comparison.findings) <= 4, [finding.explanation for finding in comparison.findings]


def body_before_header(data: Data) -> None:
    """The chord's body starts while the title is still being made."""
    body = of(data, "final_summaries") + requests(data, "llm")[-1:]
    shift(body, of(data, "pipeline_title")[0]["at"] + 0.02 - body[0]["at"])


def zulip_before_summary(data: Data) -> None:
    post = of(data, "post_to_zulip") + requests(data, "zulip")
    shift(post, of(data, "final_summaries")[0]["at"] + 0.02 - post[0]["at"])


def header_member_lost(data: Data) -> None:
    data["trace"] = [event for event in data["trace"] if not event["task"].endswith("pipeline_title")]


def summary_before_title(data: Data) -> None:
    messages = data["effects"]["messages"]
    messages.insert(0, messages.pop())
    messages[0]["at"] = messages[1]["at"] - 0.01


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (body_before_header, "order"),
        (zulip_before_summary, "order"),
        (header_member_lost, "missing"),
        (summary_before_title, "order"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_fault_of_the_live_pipeline_is_found(fault: Callable[[Data], None], kind: str) -> None:
    comparison = compared(live, fault)

    assert kind in {finding.kind for finding in comparison.findings}, comparison.findings


@pytest.mark.parametrize("make", [upload, live])
def test_the_same_behaviour_gives_no_finding(make: Callable[..., Data]) -> None:
    comparison = compared(make)

    assert comparison.findings == []
    assert comparison.ok
    assert comparison.noise


def test_the_order_of_parallel_branches_is_no_finding() -> None:
    one_way, other_way = live(2, "celery"), live(7, "taskiq")

    comparison = compare(observation(live(4)), observation(one_way), observation(other_way))

    assert comparison.ok, comparison.findings


def test_an_explanation_names_the_tasks() -> None:
    comparison = compared(upload, dropped_barrier)

    texts = " ".join(finding.explanation for finding in comparison.findings)
    assert f"the end of {LIVE}task_cleanup_consent" in texts
    assert FILE not in texts
