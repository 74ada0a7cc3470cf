"""What a receiver of webhooks can see: the requests, their retry headers, and whether they are signed."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import defaultdict
from collections.abc import Sequence

from playbook.checks.simple_scenarios import RECEIVERS, WEBHOOK
from playbook.lab.scenarios import WEBHOOK_SECRET
from playbook.models import Model, Observation, Request

RETRY_HEADER, SIGNATURE_HEADER = "x-webhook-retry", "x-webhook-signature"


class Received(Model):
    """What one receiver got, in order: the answers given (None: it hung up), and the retry headers."""

    receiver: str
    answers: list[int | None]
    retries: list[str | None]


class Schedule(Model):
    """The attempts of one task: how each ended, and the seconds that were planned until the next."""

    task: str
    what: str
    outcomes: list[str | None]
    planned: list[float]


def received(observation: Observation) -> list[Received]:
    """Return what each receiver of the webhooks scenario got."""
    found = []
    for receiver in RECEIVERS:
        requests = [request for request in observation.effects.requests if request.service == receiver]
        headers = [request.headers.get(RETRY_HEADER) for request in requests]
        answers = [request.status for request in requests]
        found.append(Received(receiver=receiver, answers=answers, retries=headers))
    return found


def badly_signed(observation: Observation) -> list[str]:
    """Return the receivers that got a request whose signature is missing, wrong or of another time."""
    requests = [request for request in observation.effects.requests if request.service in RECEIVERS]
    return sorted({request.service for request in requests if not _is_signed(request)})


def _is_signed(request: Request) -> bool:
    """Check the header `t=<Unix time>,v1=<HMAC-SHA256 of "<time>.<body>">` as a receiver would.

    The body is recorded as data; the application writes it as JSON with sorted keys.
    """
    parts = dict(part.partition("=")[::2] for part in request.headers.get(SIGNATURE_HEADER, "").split(","))
    stamp = parts.get("t", "")
    if not stamp.isdecimal() or abs(int(stamp) - request.at) > 60:
        return False
    signed = f"{stamp}.{json.dumps(request.body, sort_keys=True)}".encode()
    wanted = hmac.new(WEBHOOK_SECRET.encode(), signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, parts.get("v1", ""))


def schedules(observation: Observation) -> list[Schedule]:
    """Return the attempts of every task that was retried, by task and by what it worked on."""
    by_id = defaultdict(list)
    for event in observation.trace:
        by_id[event.task, event.id].append(event)
    found = []
    for (task, _), events in by_id.items():
        ends = [event for event in events if event.kind == "end"]
        if any(event.outcome == "retry" for event in ends):
            kwargs = events[0].kwargs
            what = str(kwargs["event_id"]) if task == WEBHOOK else ""
            planned = [event.delay for event in ends if event.delay is not None]
            outcomes: list[str | None] = [event.outcome for event in ends]
            found.append(Schedule(task=task, what=what, outcomes=outcomes, planned=planned))
    return sorted(found, key=lambda schedule: (schedule.task, schedule.what))


def planned_delays(runs: Sequence[Observation]) -> dict[str, dict[str, list[float]]]:
    """Return for each task that was retried, for each run, the seconds planned between its attempts."""
    found: dict[str, dict[str, list[float]]] = defaultdict(dict)
    for run in runs:
        for schedule in schedules(run):
            name = f"{schedule.task.rpartition('.')[2]} {schedule.what}".strip()
            found[name][run.label] = schedule.planned
    return dict(found)
