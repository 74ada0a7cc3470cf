"""A canary of the pipelines. (What the checks of 03_pipelines find is in test_plants.)"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from playbook.checks.driver import Driver
from playbook.checks.pipelines_lab import DRIVER
from playbook.checks.pipelines_scenarios import CONSENT, IF_NEEDED, WEBHOOK, ZULIP, Recording, Upload
from playbook.checks.simple_lab import celery_worker, open_lab, task_modules, taskiq_worker
from playbook.config import load_application
from playbook.contracts import CheckContext
from playbook.lab.audio import generated
from playbook.lab.waiting import together
from playbook.phases import apply_phase, find_phase
from playbook.workspace import Workspace

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


def test_a_canary_splits_recordings_but_no_canvas(tmp_path: Path) -> None:
    """At 50 percent some canvases go to either system. (That one system gets all 12: once in 2,000 runs.)"""
    application, phase = load_application(), find_phase("03_pipelines")
    workspace = Workspace(tmp_path, application)
    apply_phase(phase, workspace)
    context = CheckContext(application, workspace.path, tmp_path, tmp_path, parameters=phase.parameters())
    tone = generated.turns(0.6)
    recordings = tuple(Recording(f"talk-{number}", "file", tone) for number in range(12))
    with open_lab(context) as lab:
        _, driver, *_ = together(
            lab.api,
            lambda: Driver(lab, route="50", program=DRIVER),
            lambda: celery_worker(lab),
            lambda: taskiq_worker(lab, task_modules(context)),
        )
        scenario = Upload("canary", driver, recordings, {WEBHOOK: len(recordings)})
        trace = lab.observe(scenario, "canary", "taskiq").trace
    canvases = defaultdict(set)
    for event in trace:
        if event.task in (CONSENT, ZULIP, IF_NEEDED) and event.kind == "start":
            canvases[event.kwargs["transcript_id"]].add(event.system)
    assert len(canvases) == len(recordings)
    assert sorted({tuple(systems) for systems in canvases.values()}) == [("celery",), ("taskiq",)]
