"""The plan: every item of the inventory in exactly one phase, or refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from playbook.inventory import Inventory, inventory
from playbook.inventory.plan import PHASES, plan

FILES = {
    "shop/__init__.py": "",
    "shop/worker.py": """
from celery import Celery
from celery.schedules import crontab
app = Celery("shop", broker="redis://localhost")
app.conf.beat_schedule = {"nightly": {"task": "shop.tasks.nightly", "schedule": crontab(hour=1)}}
""",
    "shop/tasks.py": """
from celery import chain, shared_task

@shared_task
async def simple(): ...

@shared_task(rate_limit="1/s")
def limited(): ...

@shared_task
def nightly(): ...

@shared_task(bind=True, max_retries=3)
def step(self):
    raise self.retry()

@shared_task
def start():
    chain(step.si(), simple.si()).delay()
    nightly.delay()
    limited.delay()
""",
    "tests/test_tasks.py": "from shop.tasks import simple\n\ndef test(celery_worker):\n    simple.delay()\n",
    "requirements.txt": "celery\n",
}


@pytest.fixture
def shop(tmp_path: Path) -> Inventory:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return inventory(tmp_path)


def test_phases_and_refusals_add_up_to_the_inventory(shop: Inventory) -> None:
    made = plan(shop)
    counted = Counter(
        (item.list, item.path, item.line) for group in (*made.phases,) for item in group.items
    ) + Counter((item.list, item.path, item.line) for item in made.refused)
    expected = Counter(
        (name, entry["path"], entry["line"]) for name, entries in shop.to_json().items() for entry in entries
    )
    assert counted == expected
    assert tuple(group.phase for group in made.phases) == PHASES


@pytest.mark.parametrize(
    ("label", "phase"),
    [
        ("task shop.tasks.simple", "03_pipelines"),
        ("task shop.tasks.step", "03_pipelines"),
        ("task shop.tasks.start", "03_pipelines"),
        ("task shop.tasks.nightly", "04_scheduler"),
        ("delay of shop.tasks.nightly", "04_scheduler"),
        ("delay of a canvas", "03_pipelines"),
        ("chain of 2 tasks", "03_pipelines"),
        ("nightly every crontab(hour=1)", "04_scheduler"),
        ("app: Celery", "01_poc"),
        ("delay of shop.tasks.simple", "05_validation"),
        ("test: def test(celery_worker):", "05_validation"),
        ("dependency: celery", "06_cutover"),
    ],
)
def test_which_phase_moves_what(label: str, phase: str, shop: Inventory) -> None:
    found = [group.phase for group in plan(shop).phases for item in group.items if item.label == label]
    assert found == [phase]


def test_the_task_of_the_proof_of_concept_moves_first(shop: Inventory) -> None:
    made = plan(shop, poc_task="shop.tasks.start")
    assert "task shop.tasks.start" in [item.label for item in made.phases[1].items]


def test_a_refused_task_is_in_no_phase(shop: Inventory) -> None:
    made = plan(shop)
    assert "task shop.tasks.limited" not in [item.label for group in made.phases for item in group.items]
    reasons = {item.label: item.reason for item in made.refused}
    assert "rate" in reasons["task shop.tasks.limited"]
    assert reasons["delay of shop.tasks.limited"] == "the task shop.tasks.limited is refused"


def test_risk_rises_with_what_a_move_has_to_keep(shop: Inventory) -> None:
    order = plan(shop).order
    scores = {risk.task.removeprefix("shop.tasks."): risk.score for risk in order}
    assert [risk.score for risk in order] == sorted(risk.score for risk in order)
    assert scores["nightly"] < scores["step"]
    assert next(risk for risk in order if risk.task == "shop.tasks.step").reasons == (
        "a step of 1 canvas",
        "is retried",
        "uses its own task object",
        "is synchronous",
        "2 call sites",
    )


def test_the_plan_is_json(shop: Inventory) -> None:
    data = plan(shop).to_json()
    assert json.loads(json.dumps(data)) == data
