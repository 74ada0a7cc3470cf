"""A plugin of pytest that writes down what was collected, what came out, and which system ran the tasks.

SUITE_RECORD=record.json PYTHONPATH=FOLDER python -m pytest -p suite_recorder ...

It needs nothing of the playbook's, and Celery only if it is there.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

_collected: list[str] = []
_outcomes: dict[str, str] = {}
_ran: dict[str, Counter[str]] = {"celery": Counter(), "taskiq": Counter()}


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note the tests, and listen to both systems."""
    _collected.extend(item.nodeid for item in session.items)
    if not session.config.option.collectonly:
        _listen()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note the worst of a test's phases."""
    if report.outcome == "skipped":
        outcome = "expected failure" if hasattr(report, "wasxfail") else "skipped"
    elif hasattr(report, "wasxfail"):
        outcome = "unexpected success"
    elif report.failed:
        outcome = "failed" if report.when == "call" else "error"
    elif report.when != "call":
        return
    else:
        outcome = "passed"
    if outcome != "passed" or report.nodeid not in _outcomes:
        _outcomes[report.nodeid] = outcome


def pytest_sessionfinish() -> None:
    """Write it all."""
    record = {"collected": _collected, "outcomes": _outcomes, "ran": _ran}
    Path(os.environ["SUITE_RECORD"]).write_text(json.dumps(record), encoding="utf-8")


def _listen() -> None:
    from taskiq import InMemoryBroker

    kick = InMemoryBroker.kick

    async def counted(self: InMemoryBroker, message: Any) -> None:
        _ran["taskiq"][message.task_name] += 1
        await kick(self, message)

    InMemoryBroker.kick = counted  # type: ignore[method-assign]
    with contextlib.suppress(ImportError):
        from celery.signals import task_received

        task_received.connect(_received, weak=False)


def _received(request: Any, **_: Any) -> None:
    _ran["celery"][request.name] += 1
