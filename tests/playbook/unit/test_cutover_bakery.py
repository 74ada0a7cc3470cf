"""The cutover of an application that is not the bundled one: what is converted, what is refused, and that
nothing else is left."""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from playbook.config import Application
from playbook.contracts import Slice
from playbook.rewrite import cutover
from playbook.rewrite.counterparts import COUNTERPARTS, IN_ANNOTATIONS
from playbook.rewrite.cutover_files import OLD_URLS
from playbook.rewrite.edit import SCAFFOLD
from playbook.tree import Tree
from tests.playbook import bakery

REFUSED = {
    ("bakery/bread.py", "task taste"),
    ("bakery/bread.py", "from bakery.main import celery"),
    ("bakery/bread.py", '@celery.task(rate_limit="1/m")'),
    ("bakery/main.py", "celery.conf.task_time_limit = 600"),
    ("bakery/main.py", "worker_ready.connect"),
    ("bakery/main.py", "from celery.signals import worker_ready"),
    ("bakery/orders.py", "dispatch_apply_sync(knead, (minutes,), priority=9)"),
    ("bakery/orders.py", "from bakery.main import celery"),
    ("bakery/orders.py", 'return celery.send_task("bread.bake", (1,))'),
    ("bakery/orders.py", "return task.delay(1)"),
    ("bakery/requirements-dev.txt", "celery-types"),
    ("bakery/README.md", "Orders are baked by Celery."),
}

PROGRAM = """
import asyncio, json
from bakery import bread, cake, main, orders
from bakery.worker.broker import broker
from bakery.worker.sent import Handle

async def run():
    order = Handle(await orders.order(3))
    return [await order.aget(1), await orders.taste_at_once(4)]

def error_of(call):
    try:
        return call()
    except Exception as error:
        return type(error).__name__

print(json.dumps({
    "async": asyncio.run(run()),
    "baked": bread.BAKED,
    "retried": bread.deliver.delay_sync("here", failures=2).get(1),
    "cake": orders.order_cake(1).get(1),
    "later": orders.order_for_later("there").get(1),
    "by name": orders.by_name().state,
    "by attribute": orders.of_kind("stir").get(1),
    "urgent": orders.found(orders.urgent(5).id).result,
    "burnt": cake.burn.delay_sync().get(1, propagate=False).args,
    "failed": main.FAILED,
    "misfit": error_of(lambda: cake.stir.delay_sync(1, 2)),
    "unknown option": error_of(lambda: cake.stir.apply_async_sync((1,), priority=9)),
    "linked": cake.stir.apply_async_sync((1,), link=cake.stir.s()).get(1),
    "names": sorted(name for name in broker.get_all_tasks() if not name.startswith(("workflow", "celery."))),
}))
"""


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Application:
    return bakery.make(tmp_path_factory.mktemp("bakery"))


@pytest.fixture(scope="module")
def before(application: Application) -> Tree:
    return bakery.dual(application)


@pytest.fixture(scope="module")
def after(application: Application, before: Tree) -> Slice:
    return cutover.slice_(application, before)


def test_what_is_refused(after: Slice) -> None:
    assert {(refusal.path, refusal.construct) for refusal in after.refusals} == REFUSED


def test_what_still_mentions_celery_is_refused_or_deliberate(after: Slice, application: Application) -> None:
    scaffold = {
        application.module_path(f"bakery.worker.{file.stem}") for file in (SCAFFOLD / "worker").glob("*.py")
    }
    places = {(refusal.path, refusal.line) for refusal in after.refusals}
    left = [
        (path, number, line)
        for path in after.tree
        if path not in scaffold and not path.startswith("bakery/ops/")
        for number, line in enumerate(after.tree[path].splitlines(), 1)
        if re.search("celery|kombu|billiard|flower", line, re.IGNORECASE)
        and (path, number) not in places
        and not any(url in line for url in OLD_URLS)
    ]
    # A refusal tells the line as it was found; others above it may have gone since.
    constructs = {(refusal.path, refusal.construct) for refusal in after.refusals}
    assert [line for path, _, line in left if (path, line.strip()) not in constructs] == []


def test_a_second_application_changes_nothing(application: Application, after: Slice) -> None:
    assert after.tree.changes(cutover.slice_(application, after.tree).tree) == []


def test_modules_of_dual_mode_go_unless_somebody_has_changed_them(
    application: Application, before: Tree, after: Slice
) -> None:
    for module in cutover.DUAL_MODULES:
        assert f"bakery/worker/{module}.py" not in after.tree
    assert "bakery/bridge.py" not in after.tree
    path = "bakery/worker/flags.py"
    changed = cutover.slice_(application, before.with_file(path, before[path] + "\n# mine\n"))
    assert path in changed.tree
    assert (path, "file") in {(refusal.path, refusal.construct) for refusal in changed.refusals}


def test_once_the_refusals_are_settled_it_runs_without_celery(after: Slice, tmp_path: Path) -> None:
    bakery.settle(after.tree, tmp_path)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "ENVIRONMENT": "pytest"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "async": [3, 4],
        "baked": [[3, "spelt"], [4, "rye"], [1, "rye"]],
        "retried": ["here", 2],
        "cake": {"layers": [2, 3], "colour": "red", "task": "bakery.cake.decorate"},
        "later": ["there", 0],
        "by name": "SUCCESS",
        "by attribute": 2,
        "urgent": 5,
        "burnt": ["burnt"],
        "failed": [["bakery.cake.burn", "burnt"]],
        "misfit": "TypeError",
        "unknown option": "ValueError",
        "linked": 2,
        "names": [
            "bakery.bread.deliver",
            "bakery.bread.knead",
            "bakery.bread.taste",
            "bakery.cake.burn",
            "bakery.cake.decorate",
            "bakery.cake.stir",
            "bread.bake",
        ],
    }


def test_an_old_setting_counts_and_says_so(after: Slice, tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text(after.tree["bakery/settings.py"], encoding="utf-8")

    def url(**variables: str) -> tuple[str, int]:
        done = subprocess.run(
            [sys.executable, "-c", "import settings; print(settings.settings.TASKIQ_REDIS_URL)"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], **variables},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip(), done.stderr.count("CELERY_BROKER_URL is deprecated")

    assert url() == ("redis://localhost:6379/5", 0)
    assert url(CELERY_BROKER_URL="redis://old/1") == ("redis://old/1", 1)
    assert url(CELERY_BROKER_URL="redis://old/1", TASKIQ_REDIS_URL="redis://new/1") == ("redis://new/1", 1)


@pytest.mark.parametrize("target", sorted(set((COUNTERPARTS | IN_ANNOTATIONS).values())), ids=str)
def test_what_takes_the_place_of_celerys_names_exists(target: tuple[str, str]) -> None:
    module, name = target
    path = f"playbook.scaffold.worker{module}" if module.startswith(".") else module
    assert hasattr(import_module(path), name)
