"""A suite of many styles runs on TaskIQ alone, where `import celery` fails."""

from pathlib import Path

import pytest

from playbook.checks.cutover_suite import same_assertions, sources
from playbook.checks.suite_assertions import read_suite
from playbook.checks.suite_runs import run_suite
from playbook.config import Application
from playbook.rewrite import cutover
from playbook.rewrite.suite import test_files as files_of_tests
from playbook.tree import read_tree
from tests.playbook.integration import suite_shop

pytestmark = pytest.mark.integration

TESTS = '''
"""Workers, results, canvases, errors, and what is sent."""

import time

import pytest
from celery import chain, current_app, group, shared_task
from celery.signals import after_task_publish, before_task_publish

from shop.orders import order, order_and_wait, order_two
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


def test_tasks_are_registered():
    assert {"shop.tasks.receipt", "tests.double"} <= set(current_app.tasks)
    assert receipt.name == "shop.tasks.receipt"


@pytest.mark.usefixtures("celery_session_worker")
class TestWorker:
    def test_a_result(self, posted):
        assert receipt.delay(7).get(timeout=20) == 7
        assert receipt.apply_async((7,), {"copies": 2}).get(timeout=20) == 14
        assert receipt.s(7).delay(copies=3).get(timeout=20) == 21
        assert posted == [7, 7, 7]

    async def test_a_result_in_async_code(self):
        assert receipt.delay(7).get(timeout=20) == 7
        assert await order_and_wait(8) == 8

    def test_what_waits_a_moment(self):
        assert receipt.apply_async((7,), countdown=0.1).get(timeout=20) == 7

    async def test_a_canvas(self):
        steps = chain(receipt.s(7), double.s())
        assert steps.delay().get(timeout=20) == 14

    def test_a_task_of_the_tests(self):
        assert double.delay(4).get(timeout=20) == 8

    def test_an_error(self, monkeypatch, posted):
        task = current_app.tasks[ship.name]
        monkeypatch.setitem(task.retry_kwargs, "countdown", 0.01)
        with pytest.raises(ConnectionError, match="no lorry for 7"):
            ship.delay(7).get(timeout=20)
        assert posted == [7] * 4
        assert ship.max_retries == 3


class TestEager:
    @pytest.fixture(autouse=True)
    def eager(self):
        current_app.conf.task_always_eager = current_app.conf.task_eager_propagates = True
        yield
        current_app.conf.task_always_eager = current_app.conf.task_eager_propagates = False

    async def test_it_has_run_when_the_call_is_back(self, posted):
        await order(7)
        assert posted == [7]
        order_two(8)
        assert posted == [7, 8, 8]

    def test_errors_come_through(self):
        with pytest.raises(TypeError):
            receipt.delay("seven", copies=None)
'''
SHOP_TESTS = "tests/shop/test_shop.py"


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Application:
    made = suite_shop.make(tmp_path_factory.mktemp("shop"))
    (made.base / "tests/shop/test_fakes.py").unlink()
    (made.base / SHOP_TESTS).write_text(TESTS.lstrip("\n"), encoding="utf-8")
    orders = made.base / "shop/orders.py"
    # What no rule could route is refused, and is not what this is about.
    orders.write_text(orders.read_text().partition("\n\ndef order_by_name")[0] + "\n", encoding="utf-8")
    return made


def test_the_tests_pass_where_there_is_no_celery(application: Application, tmp_path: Path) -> None:
    before = read_tree(application.base, application.folders)
    sliced = cutover.slice_(application, suite_shop.migrate(application, before))
    after = sliced.tree
    assert [one for one in sliced.refusals if one.path == SHOP_TESTS] == []
    suites = [
        read_suite({path: tree[path] for path in files_of_tests(application, tree)})
        for tree in (before, after, after)
    ]
    assert same_assertions(sources(*suites)).ok

    for path, text in after.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    (tmp_path / "celery.py").write_text('raise ImportError("there is no Celery")\n', encoding="utf-8")
    found = run_suite(application, tmp_path, tmp_path / "run", None)
    assert found.failed == [], found.said
    assert len(found.collected) == 11
    assert found.attempts("taskiq") > 10
    assert found.ran["celery"] == {}
