"""A shop on Celery with tests of many styles: fakes, spies, eager mode, workers, recorders of what is sent.

`migrate` applies the slices to it. Its tests must pass on both systems without a change.
"""

from __future__ import annotations

from pathlib import Path

from playbook.config import Application, load_application
from playbook.rewrite import pipelines, poc, simple_tasks, suite
from playbook.tree import Tree

FILES = {
    "playbook.toml": """
[application]
name = "shop"
root = "shop"
tests = "tests/shop"
celery_app = "shop.worker.app:app"
broker = "shop.worker.broker:broker"

[phases.01_poc]
twin = "shop.tasks.receipt"
""",
    "shop/__init__.py": "",
    "shop/pyproject.toml": """
[project]
name = "shop"
version = "1"
dependencies = ["celery"]

[tool.pytest.ini_options]
asyncio_mode = "auto"
addopts = "--import-mode=importlib"
""",
    "shop/settings.py": """
from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    ENVIRONMENT: str = "production"
    CELERY_BROKER_URL: str = "memory://"


settings = Settings()
""",
    "shop/db.py": """
async def get_session_context():
    yield None
""",
    "shop/worker/__init__.py": "",
    "shop/worker/app.py": """
from celery import Celery

from shop.settings import settings

app = Celery("shop", broker=settings.CELERY_BROKER_URL, backend="cache+memory://", include=["shop.tasks"])
""",
    "shop/tasks.py": """
from celery import shared_task

POSTED: list[int] = []


@shared_task
def receipt(order, copies=1):
    POSTED.append(order)
    return order * copies


@shared_task(autoretry_for=(ConnectionError,), retry_kwargs={"max_retries": 3, "countdown": 60})
def ship(order):
    POSTED.append(order)
    raise ConnectionError(f"no lorry for {order}")
""",
    "shop/orders.py": """
from celery import chain

from shop import tasks
from shop.tasks import receipt, ship


async def order(number):
    return receipt.delay(number, copies=2).id


def order_later(number):
    return receipt.apply_async(args=[number], countdown=5).id


async def order_and_wait(number):
    return receipt.delay(number).get(timeout=20)


def order_two(number):
    return chain(receipt.si(number), receipt.s(copies=3)).delay()


def order_by_name(number, name="receipt"):
    return getattr(tasks, name).delay(number)
""",
    "tests/shop/conftest.py": """
import os

os.environ["ENVIRONMENT"] = "pytest"

import pytest  # noqa: E402

import shop.worker.app  # noqa: E402
from shop import tasks  # noqa: E402

pytest_plugins = ("celery.contrib.pytest",)


@pytest.fixture(scope="session")
def celery_config():
    return {"broker_url": "memory://", "result_backend": "cache+memory://"}


@pytest.fixture(scope="session")
def celery_includes():
    return ["shop.tasks"]


@pytest.fixture(autouse=True)
def posted():
    tasks.POSTED.clear()
    return tasks.POSTED
""",
    "tests/shop/test_fakes.py": '''
"""What takes the place of a task, or of its methods."""

from types import SimpleNamespace
from unittest.mock import ANY, Mock, patch

import pytest

from shop.orders import order, order_and_wait, order_by_name, order_later
from shop.tasks import receipt


@patch("shop.orders.receipt.delay")
async def test_delay(delay, posted):
    delay.return_value.id = "one"
    assert await order(7) == "one"
    delay.assert_called_once_with(7, copies=2)
    assert posted == []


async def test_apply_async_below_delay(monkeypatch):
    sent = []

    def record(*args, **kwargs):
        sent.append((args, kwargs))
        return SimpleNamespace(id="x")

    monkeypatch.setattr(receipt, "apply_async", record)
    assert await order(7) == "x"
    assert sent == [(((7,), {"copies": 2}), {})]


def test_apply_async_as_it_was_written():
    with patch.object(receipt, "apply_async") as apply_async:
        order_later(7)
    apply_async.assert_called_once_with(args=[7], countdown=5)


async def test_the_whole_task():
    with patch("shop.orders.receipt") as task:
        await order(7)
    task.delay.assert_called_once_with(7, copies=2)


async def test_the_answer_of_a_fake_can_be_waited_for():
    with patch.object(receipt, "delay", return_value=Mock(get=lambda timeout: 49)):
        assert await order_and_wait(7) == 49


def test_all_tasks():
    with patch("celery.app.task.Task.apply_async") as apply_async:
        order_later(7)
        order_by_name(8)
    assert apply_async.call_count == 2


async def test_a_spy(celery_session_worker, posted):
    with patch.object(receipt, "delay", wraps=receipt.delay) as delay:
        assert await order_and_wait(7) == 7
    delay.assert_called_once_with(7)
    assert posted == [7]


def test_an_error_of_a_fake():
    with patch.object(receipt, "apply_async", side_effect=OSError("no broker")):
        with pytest.raises(OSError, match="no broker"):
            order_later(ANY)
''',
    "tests/shop/test_shop.py": '''
"""Workers, results, canvases, eager mode, and what is sent."""

import time

import pytest
from celery import chain, chord, current_app, group, shared_task
from celery.signals import after_task_publish, before_task_publish

from shop.orders import order, order_by_name, order_later, order_two
from shop.tasks import receipt, ship


@shared_task(name="tests.double")
def double(number):
    return 2 * number


@pytest.fixture
def sent():
    """What is sent to a queue that nobody reads."""
    usual, current_app.conf.task_default_queue = current_app.conf.task_default_queue, "unread"
    heard = []

    def record(sender, body, headers, **_):
        heard.append((sender, list(body[0]), body[1], headers["id"]))

    before_task_publish.connect(record)
    after_task_publish.connect(record)
    yield heard
    before_task_publish.disconnect(record)
    after_task_publish.disconnect(record)
    current_app.conf.task_default_queue = usual


async def test_nobody_runs_what_nobody_reads(sent, posted):
    task_id = await order(7)
    assert sent == [("shop.tasks.receipt", [7], {"copies": 2}, task_id)] * 2
    result = receipt.delay(8)
    time.sleep(0.05)
    assert not result.ready()
    assert result.state == "PENDING"
    assert posted == []


def test_of_a_chain_the_first_is_sent(sent):
    order_two(7)
    group(receipt.s(1), receipt.s(2)).delay()
    assert [args for _, args, _, _ in sent] == [[7], [7], [1], [1], [2], [2]]


@pytest.mark.usefixtures("celery_session_worker")
class TestWorker:
    def test_a_result(self, posted):
        assert receipt.delay(7).get(timeout=20) == 7
        assert receipt.apply_async((7,), {"copies": 2}).get(timeout=20) == 14
        assert receipt.s(7).delay(copies=3).get(timeout=20) == 21
        assert posted == [7, 7, 7]

    async def test_a_result_in_async_code(self):
        assert receipt.delay(7).get(timeout=20) == 7

    def test_what_waits_a_moment(self):
        assert receipt.apply_async((7,), countdown=0.1).get(timeout=20) == 7

    def test_a_canvas(self):
        assert chain(receipt.s(7), double.s()).delay().get(timeout=20) == 14
        assert chain(receipt.s(7), double.s())().get(timeout=20) == 14

    def test_a_task_of_the_tests(self):
        assert double.delay(4).get(timeout=20) == 8

    def test_an_error(self, monkeypatch, posted):
        task = current_app.tasks[ship.name]
        monkeypatch.setitem(task.retry_kwargs, "countdown", 0.01)
        with pytest.raises(ConnectionError, match="no lorry for 7"):
            ship.delay(7).get(timeout=20)
        assert posted == [7] * 4

    def test_a_call_that_no_rule_could_route(self, posted):
        assert order_by_name(9).get(timeout=20) == 9


@pytest.fixture
def eager(celery_app, celery_config):
    celery_app.set_default()
    celery_app.set_current()
    celery_app.conf.update(task_always_eager=True, task_eager_propagates=True)
    celery_app.loader.import_task_module("shop.tasks")


@pytest.mark.usefixtures("eager")
class TestEager:
    async def test_it_has_run_when_the_call_is_back(self, posted):
        await order(7)
        order_later(8)
        assert posted == [7, 8]

    def test_errors_come_through(self):
        with pytest.raises(TypeError):
            receipt.delay("seven", copies=None)

    def test_a_chord(self, posted):
        order_two(7)
        assert posted == [7, 7]


def test_apply(posted):
    result = receipt.apply((7,), {"copies": 2})
    assert (result.get(), result.state, posted) == (14, "SUCCESS", [7])
    assert receipt.apply(kwargs={"order": 7}).result == 7


def test_apply_that_throws():
    with pytest.raises(TypeError):
        receipt.apply(("seven",), {"copies": None}, throw=True)
''',
}


def make(base: Path) -> Application:
    """Write the shop below `base`."""
    for path, text in FILES.items():
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).write_text(text.lstrip("\n"), encoding="utf-8")
    return load_application(base / "playbook.toml")


def migrate(application: Application, tree: Tree) -> Tree:
    """Apply the slices up to the one of the tests."""
    for module in (poc, simple_tasks, pipelines, suite):
        tree = module.slice_(application, tree).tree
    return tree
