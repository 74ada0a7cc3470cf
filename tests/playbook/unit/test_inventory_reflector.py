"""The inventory of the bundled application, against a hand-written truth and the application itself.

The truth names a line by what stands on it (`at`; `nth` where that stands on several), so that it survives
edits elsewhere in the file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from playbook.inventory import Inventory, inventory
from playbook.inventory.plan import plan

ROOT = Path(__file__).parents[3]
APPLICATION = ROOT / "reflector"
TRUTH = json.loads((ROOT / "tests/playbook/truth/reflector.json").read_text())

REGISTERED = """
import json
from reflector.worker.app import app
app.loader.import_default_modules()
own = {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}
print(json.dumps({
    "tasks": {
        name: [task.max_retries, task.default_retry_delay, bool(getattr(task, "autoretry_for", ()))]
        for name, task in own.items()
    },
    "schedules": {entry: row["task"] for entry, row in app.conf.beat_schedule.items()},
}))
"""


@pytest.fixture(scope="module")
def found() -> Inventory:
    return inventory(APPLICATION)


def line_of(entry: dict[str, Any]) -> int:
    """The line on which the text `at` stands; it must be the only one unless `nth` chooses."""
    text = (APPLICATION / entry["path"]).read_text().split("\n")
    lines = [number for number, line in enumerate(text, start=1) if entry["at"] in line]
    assert "nth" in entry or len(lines) == 1, (
        f"{entry['at']!r} stands on the lines {lines} of {entry['path']}"
    )
    return lines[entry.get("nth", 1) - 1]


def placed(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "line": line_of(entry),
        **{key: value for key, value in entry.items() if key not in ("at", "nth")},
    }


def in_order(entries: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(entry, sort_keys=True) for entry in entries)


@pytest.mark.parametrize("name", ["tasks", "calls", "canvases", "schedules", "refused"])
def test_each_list_is_the_truth(name: str, found: Inventory) -> None:
    assert in_order(found.to_json()[name]) == in_order([placed(entry) for entry in TRUTH[name]])


def test_touchpoints_are_the_truth(found: Inventory) -> None:
    """Several uses on one line count once: the truth gives places and kinds."""
    expected = {(entry["path"], line_of(entry), entry["kind"]) for entry in TRUTH["touchpoints"]}
    assert {(entry.path, entry.line, entry.kind) for entry in found.touchpoints} == expected


@pytest.mark.parametrize(
    "environment",
    [{}, {"PUBLIC_MODE": "true", "HEALTHCHECK_URL": "http://localhost/ping"}],
    ids=["defaults", "all-conditions-true"],
)
def test_the_application_registers_what_the_inventory_finds(
    environment: dict[str, str], found: Inventory, tmp_path: Path
) -> None:
    script = tmp_path / "registered.py"
    script.write_text(REGISTERED)
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    registered = json.loads(done.stdout.splitlines()[-1])
    assert sorted(task.name for task in found.tasks) == sorted(registered["tasks"])
    for task in found.tasks:
        retries, delay, automatic = registered["tasks"][task.name]
        assert task.options.get("max_retries", 3) == retries
        assert task.options.get("default_retry_delay", 180) == delay
        assert ("autoretry_for" in task.options) == automatic
    expected = {
        entry.entry: entry.task for entry in found.schedules if environment or entry.condition is None
    }
    assert expected == registered["schedules"]


def test_every_task_has_its_phase(found: Inventory) -> None:
    phases = {risk.task.rsplit(".", 1)[-1]: risk.phase for risk in plan(found).order}
    assert phases["send_transcript_webhook"] == "02_simple_tasks"
    assert phases["task_pipeline_file_process"] == phases["task_pipeline_title"] == "03_pipelines"
    assert phases["process_meetings"] == phases["cleanup_old_public_data_task"] == "04_scheduler"
