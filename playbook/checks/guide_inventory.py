"""The guide's claims about how Celery is used, decided by the inventory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from playbook.checks.guide import Facts, GuideClaim
from playbook.inventory import Inventory

CRITICAL_FILES = (
    "worker/app.py",
    "worker/session_decorator.py",
    "pipelines/main_file_pipeline.py",
    "pipelines/main_live_pipeline.py",
    "worker/process.py",
    "worker/ics_sync.py",
    "worker/cleanup.py",
    "worker/webhook.py",
)


@dataclass(frozen=True)
class FileUse:
    """How one file uses Celery: number of places by list of the inventory, and whether the guide names it."""

    path: str
    tasks: int
    calls: int
    canvases: int
    schedules: int
    touchpoints: int
    refused: int
    named: bool


def file_uses(found: Inventory) -> list[FileUse]:
    """One row per file that uses Celery or that the guide names, those with the most tasks first."""
    lists = {name: Counter(e["path"] for e in entries) for name, entries in found.to_json().items()}
    paths = {path for counts in lists.values() for path in counts} | set(CRITICAL_FILES)
    rows = [
        FileUse(path, **{name: counts[path] for name, counts in lists.items()}, named=path in CRITICAL_FILES)
        for path in paths
    ]
    return sorted(rows, key=lambda row: (-row.tasks, -row.calls, -row.touchpoints, row.path))


def facts(found: Inventory) -> Facts:
    """What the claims below are decided by."""
    uses = {row.path: row for row in file_uses(found)}
    decorators = Counter(name for task in found.tasks for name in task.decorators)
    methods = Counter(call.method for call in found.calls)
    shapes = str([canvas.structure for canvas in found.canvases])
    code = [
        row for row in uses.values() if row.path.endswith(".py") and row.tasks + row.calls + row.schedules
    ]
    crontabs = sum("crontab" in schedule.schedule for schedule in found.schedules)
    inert = [t.name for t in found.tasks if "retry_backoff" in t.options and "autoretry_for" not in t.options]
    return {
        "shared_task": decorators["shared_task"],
        "asynctask": decorators["asynctask"],
        "with_session": decorators["with_session"] + decorators["with_session_and_transcript"],
        "delay": methods["delay"],
        "si": methods["si"],
        "other_methods": ", ".join(sorted(set(methods) - {"delay", "si"})) or "none",
        "chains": shapes.count("'chain'"),
        "chords": shapes.count("'chord'"),
        "crontabs": crontabs,
        "intervals": len(found.schedules) - crontabs,
        "retrying": sum("autoretry_for" in task.options or task.bind for task in found.tasks),
        "inert_backoff": ", ".join(name.rpartition(".")[2] for name in inert) or "no task",
        "live_tasks": uses["pipelines/main_live_pipeline.py"].tasks,
        "cleanup_tasks": uses["worker/cleanup.py"].tasks,
        "webhook_tasks": uses["worker/webhook.py"].tasks,
        "not_named": ", ".join(row.path for row in code if not row.named) or "none",
    }


PATTERNS = "Key patterns in use"
FILES = "Critical files"

CLAIMS = (
    GuideClaim(
        PATTERNS,
        "Tasks are made with @shared_task, @asynctask and @with_session.",
        True,
        lambda f: f["shared_task"] > 0 and f["asynctask"] > 0 and f["with_session"] > 0,
        "On tasks: shared_task {shared_task} times, asynctask {asynctask}, a session decorator "
        "{with_session}.",
    ),
    GuideClaim(
        PATTERNS,
        "Tasks are called with .delay(), signatures are made with .si().",
        False,
        lambda f: f["delay"] > 0 and f["si"] > 0 and f["other_methods"] == "none",
        "delay {delay} times, si {si} times; also used: {other_methods}.",
        "Every way of calling that the inventory lists is converted or refused.",
    ),
    GuideClaim(
        PATTERNS,
        "Workflows are chains, groups and chords.",
        True,
        lambda f: f["chains"] > 0 and f["chords"] > 0,
        "{chains} chains and {chords} chord, as Celery folds them.",
    ),
    GuideClaim(
        PATTERNS,
        "Beat runs crontab and periodic schedules.",
        True,
        lambda f: f["crontabs"] > 0 and f["intervals"] > 0,
        "{crontabs} crontabs and {intervals} intervals.",
    ),
    GuideClaim(
        PATTERNS,
        "Retries are automatic, with exponential back-off.",
        False,
        lambda f: f["inert_backoff"] == "no task",
        "{retrying} tasks retry. retry_backoff without autoretry_for, where Celery ignores it: "
        "{inert_backoff}.",
        "Retries keep the delays that Celery really uses: a constant one where back-off is ignored.",
    ),
    GuideClaim(
        FILES,
        "The live pipeline has 10 tasks, cleanup and webhook one each.",
        True,
        lambda f: (f["live_tasks"], f["cleanup_tasks"], f["webhook_tasks"]) == (10, 1, 1),
        "Live pipeline {live_tasks}, cleanup {cleanup_tasks}, webhook {webhook_tasks}.",
    ),
    GuideClaim(
        FILES,
        "The eight files named are the ones to migrate.",
        False,
        lambda f: f["not_named"] == "none",
        "Tasks, calls or schedules stand in these files too: {not_named}.",
        "The plan follows the inventory, file by file.",
    ),
)
