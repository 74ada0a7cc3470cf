"""A task has its retry options under Celery's names, and they may be set."""

from taskiq import InMemoryBroker

from playbook.scaffold.worker.broker import equip
from playbook.scaffold.worker.retries import POLICY_OPTIONS
from playbook.scaffold.worker.tasks import DurableTask

broker = equip(InMemoryBroker())


@broker.task("tests.options", max_retries=5, retry_kwargs={"countdown": 300})
def task() -> None: ...


def test_each_option_can_be_read() -> None:
    assert {name: getattr(task, name) for name in POLICY_OPTIONS} == vars(task.retry_policy)  # type: ignore[attr-defined]


def test_an_option_that_is_set_counts_for_this_task_alone() -> None:
    other = broker.register_task(lambda: None, "tests.other")
    task.max_retries, task.default_retry_delay = 1, 0.01  # type: ignore[attr-defined]
    assert (task.retry_policy.max_retries, task.retry_policy.default_retry_delay) == (1, 0.01)  # type: ignore[attr-defined]
    assert other.max_retries == 3  # type: ignore[attr-defined]
    assert isinstance(other, DurableTask)
