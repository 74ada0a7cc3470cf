"""What was seen in 03_pipelines -> whether it holds. Pure: reads observations, starts nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from playbook.checks.pipelines_kills import KILLED, Kills
from playbook.checks.pipelines_lab import Run
from playbook.checks.pipelines_scenarios import SUMMARIES, ZULIP
from playbook.contracts import CheckResult
from playbook.models import Observation, TaskEvent

SLACK = 0.02
"""Seconds by which the records of two processes may disagree about what came first."""

Pair = tuple[str, str]
Runs = tuple[Observation, ...]


@dataclass(frozen=True)
class Span:
    """A task of one transcript: its first start, its last end (Unix times), and how it ended."""

    start: float
    end: float
    outcome: str | None


def spans(observation: Observation) -> dict[str, dict[str, Span]]:
    """Return for each transcript the tasks that ran for it."""
    events: dict[tuple[str, str], list[TaskEvent]] = defaultdict(list)
    for event in observation.trace:
        transcript = event.kwargs.get("transcript_id") or _transcript_of(observation, event.id)
        if transcript:
            events[str(transcript), event.task].append(event)
    found: dict[str, dict[str, Span]] = defaultdict(dict)
    for (transcript, task), own in events.items():
        start = min((event.at for event in own if event.kind == "start"), default=own[0].at)
        last = max(own, key=lambda event: event.at)
        found[transcript][task] = Span(start, last.at, last.outcome)
    return found


def _transcript_of(observation: Observation, task_id: str) -> object:
    """The transcript of an event that does not name it: an end has no arguments."""
    for event in observation.trace:
        if event.id == task_id and "transcript_id" in event.kwargs:
            return event.kwargs["transcript_id"]
    return None


def order_is_kept(runs: Iterable[Observation], promised: Collection[Pair]) -> CheckResult:
    """Whether in each run every task ended before those that the canvases put after it started.

    Evidence: for each pair, in how many runs it was seen.
    """
    broken, seen = [], Counter[Pair]()
    for run in runs:
        for transcript in spans(run).values():
            for first, second in sorted(promised):
                if first in transcript and second in transcript:
                    seen[first, second] += 1
                    if transcript[first].end > transcript[second].start + SLACK:
                        broken.append(f"{run.label} {run.scenario}: {_short(second)} before {_short(first)}")
    never = [f"{_short(one)} before {_short(other)}" for one, other in sorted(set(promised) - set(seen))]
    evidence = {f"{_short(one)} before {_short(other)}": seen[one, other] for one, other in sorted(promised)}
    if broken or never or not promised:
        return CheckResult.failed(f"Broken: {broken[:5]}; never seen: {never[:5]}", evidence)
    total = sum(seen.values())
    return CheckResult.passed(
        f"All {len(promised)} orders that the canvases promise were kept, {total} times", evidence
    )


def gaps(run: Observation, promised: Collection[Pair]) -> list[dict[str, object]]:
    """Return for each promised order that a run shows the seconds between the first task's end and the
    second one's start, the smallest of all transcripts; the closest first."""
    found: dict[Pair, list[float]] = defaultdict(list)
    for transcript in spans(run).values():
        for first, second in promised:
            if first in transcript and second in transcript:
                found[first, second].append(transcript[second].start - transcript[first].end)
    return [
        {"this ended": _short(one), "before this started": _short(other), "seconds between": round(gap, 3)}
        for (one, other), gap in sorted(
            ((pair, min(each)) for pair, each in found.items()), key=lambda item: (item[1], item[0])
        )
    ]


def failure_stops(runs: Runs, promised: Collection[Pair]) -> CheckResult:
    """Whether what comes after a failed task never started, and nobody outside was told anything."""
    failed = []
    for run in runs:
        told = Counter(r.service for r in run.effects.requests if r.service in ("zulip", "webhooks"))
        if told:
            return CheckResult.failed(f"In {run.label} somebody was told: {dict(told)}")
        for transcript in spans(run).values():
            for first, second in promised:
                if first in transcript and transcript[first].outcome == "failure":
                    failed.append((run.label, first))
                    if second in transcript:
                        text = f"In {run.label} {_short(second)} ran although {_short(first)} had failed"
                        return CheckResult.failed(text)
    stopped = Counter(label for label, _ in set(failed))
    if len(stopped) != len(runs):
        return CheckResult.failed(f"Not every run failed as planned: {dict(stopped)}")
    names = ", ".join(sorted({_short(task) for _, task in failed}))
    return CheckResult.passed(f"After {names} had failed, nothing followed and nobody was told")


def told_in_order(runs: Iterable[Observation]) -> CheckResult:
    """Whether the browsers got every stored event of their transcript, in the order of its number, once."""
    total = 0
    for run in runs:
        ids = {row["name"]: row["id"] for row in run.effects.rows["transcript"]}
        for name, transcript in ids.items():
            rows = [r for r in run.effects.rows["transcript_event"] if r["transcript_id"] == transcript]
            stored = [row["event"] for row in sorted(rows, key=lambda row: row["sequence"])]
            channel = f"transcript {name}"
            got = [m.data["event"] for m in run.effects.messages if m.channel == channel]
            if got != stored or not got:
                return CheckResult.failed(f"{run.label} {run.scenario}: {name} got {got}, stored is {stored}")
            total += len(got)
    return CheckResult.passed("Every browser got each stored event once, in order", {"messages": total})


def results_agree(runs: Sequence[Run]) -> CheckResult:
    """Whether each task's result is there, and the same in all runs."""
    a, *others = runs
    lost = [task for run in runs for task, result in run.results if result.state == "missing"]
    if lost:
        return CheckResult.failed(f"Without a result: {sorted(set(lost))}")
    for other in others:
        for expected, got in zip(a.results, other.results, strict=False):
            if expected != got:
                return CheckResult.failed(f"{other.observation.label} has {got}, Celery {expected}")
        if len(a.results) != len(other.results):
            return CheckResult.failed(f"{len(other.results)} results, on Celery {len(a.results)}")
    return CheckResult.passed(f"The results of {len(a.results)} tasks are the same in all runs")


def caller_gets(runs: Sequence[Run], state: str) -> CheckResult:
    """Whether who sends the canvas gets what Celery's caller gets, and that is a result of this state."""
    got = [run.by_hand for run in runs]
    evidence = [None if each is None else each.model_dump() for each in got]
    a = got[0]
    if a is None or a.state != state or any(each != a for each in got):
        return CheckResult.failed(f"The callers got {evidence}", evidence)
    what = f"the error {a.error}" if a.error else f"the result {a.value}"
    return CheckResult.passed(f"The caller of the canvas gets {what}, on both systems", evidence)


def ran_on_route(runs: Mapping[str, Runs], tasks: Sequence[str]) -> CheckResult:
    """Whether every task of the pipelines ran, in A and A' on Celery, in B on TaskIQ."""
    wrong, ran, labels = set(), set(), set()
    for observations in runs.values():
        for observation in observations:
            labels.add(observation.label)
            for event in observation.trace:
                if event.task in tasks:
                    ran.add((event.task, observation.label))
                    if event.system != observation.system:
                        wrong.add(f"{_short(event.task)} on {event.system} in {observation.label}")
    idle = sorted(
        f"{_short(task)} in {label}" for task in tasks for label in labels if (task, label) not in ran
    )
    if wrong or idle:
        return CheckResult.failed(f"On the wrong system: {sorted(wrong)}; never ran: {idle}")
    return CheckResult.passed(f"All {len(tasks)} tasks ran on the system that the route named")


@dataclass(frozen=True)
class Attempts:
    """What became of a task whose worker was killed; `seconds_until_again` from the kill."""

    task: str
    killed_at: str
    starts: int
    ended_by_a_kill: int
    outcome: str
    seconds_until_again: float | None


def attempts(kills: Kills) -> list[Attempts]:
    """Return for each killed task how often it started, and how it ended."""
    points = dict(KILLED)
    found = []
    for kill in kills.kills:
        own = [event for event in kills.observation.trace if event.task == kill.task]
        again = kills.again_after(kill)
        found.append(
            Attempts(
                task=_short(kill.task),
                killed_at=points[kill.task],
                starts=sum(event.kind == "start" for event in own),
                ended_by_a_kill=sum(kills.died(event) for event in own),
                outcome=", ".join(event.outcome or "none" for event in own if event.kind == "end"),
                seconds_until_again=None if again is None else round(again, 1),
            )
        )
    return found


def survived(kills: Kills) -> CheckResult:
    """Whether each task was killed, and came to its end once."""
    rows = attempts(kills)
    evidence = [{"task": row.task, "killed": row.ended_by_a_kill > 0, "outcome": row.outcome} for row in rows]
    for row in rows:
        if not row.ended_by_a_kill or row.outcome != "success":
            text = f"{row.task} was killed {row.ended_by_a_kill} times, its ends: {row.outcome or 'none'}"
            return CheckResult.failed(text, evidence)
        if row.starts != row.ended_by_a_kill + 1:
            return CheckResult.failed(f"{row.task} started {row.starts} times", evidence)
    if len(rows) != len(KILLED):
        return CheckResult.failed(f"{len(rows)} workers were killed instead of {len(KILLED)}", evidence)
    text = f"A worker was killed in each of {len(rows)} tasks, and each ended once"
    return CheckResult.passed(text, evidence)


def callbacks_once(kills: Kills) -> CheckResult:
    """Whether the callback of the chord, and what follows it, had their effects once."""
    effects = kills.observation.effects
    told = Counter(message.data["event"] for message in effects.messages if "transcript" in message.channel)
    posts = [f"{r.method} {r.status}" for r in effects.requests if r.service == "zulip"]
    ends = Counter(e.task for e in kills.observation.trace if e.outcome == "success")
    facts = {
        "final summaries ended": ends[SUMMARIES],
        "long summaries announced": told["FINAL_LONG_SUMMARY"],
        "short summaries announced": told["FINAL_SHORT_SUMMARY"],
        "Zulip task ended": ends[ZULIP],
        "messages posted": len(posts),
    }
    if set(facts.values()) != {1}:
        return CheckResult.failed(f"Not once: {facts}, {posts}", facts)
    return CheckResult.passed("The summaries were written and the message was posted once", facts)


def _short(task: str) -> str:
    return task.rpartition(".")[2]
