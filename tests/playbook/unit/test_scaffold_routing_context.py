"""`current_task` under Celery while both systems run: the same small object."""

from typing import Any

import pytest
from celery import Celery, chord, group
from celery.exceptions import Retry

from playbook.scaffold.worker import twins
from playbook.scaffold.worker.context import current_task
from playbook.scaffold.worker.routing import Call, Message


@pytest.fixture
def app() -> Celery:
    return Celery("tests", set_as_current=False)


def test_outside_of_a_task_there_is_none() -> None:
    assert twins.context.fallback is not None
    assert not current_task
    assert current_task.request.id is None
    assert current_task.request.called_directly
    with pytest.raises(ValueError, match="why"):
        current_task.retry(exc=ValueError("why"))


def test_in_a_celery_task_it_is_that(app: Celery) -> None:
    @app.task(name="t", shared=False, max_retries=7)
    def task(x: int) -> list[Any]:
        request = current_task.request
        return [bool(current_task), current_task.name, current_task.max_retries, request.id, request.args]

    result = task.apply((1,), task_id="the-id").get()
    assert result == [True, "t", 7, "the-id", (1,)]


def test_its_retry_is_celerys(app: Celery) -> None:
    attempts: list[int] = []

    @app.task(name="t", shared=False, max_retries=2, default_retry_delay=0)
    def task() -> str:
        attempts.append(current_task.request.retries)
        if len(attempts) < 3:
            with pytest.raises(Retry) as caught:
                current_task.retry(countdown=0)
            raise caught.value
        return "done"

    assert task.apply().get() == "done"
    assert attempts == [0, 1, 2]


def test_a_canvas_is_taskiqs_if_all_its_tasks_are(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    @app.task(name="t", shared=False)
    def task() -> None: ...

    @app.task(name="u", shared=False)
    def single() -> None: ...

    monkeypatch.setattr("playbook.scaffold.worker.flags.Flags.system", lambda *_: "taskiq")
    twins.twin(task, "t")
    one = task.si()

    def canvases(other: Any) -> list[Any]:
        return [
            one | other.si(),
            group(one, other.si()),
            chord([one], other.si()),
            chord([other.si()], one),
            one.clone(link=[other.si()]),
            one.clone(link_error=[one | other.si()]),
            other.map([1]),
            other.starmap([]),
            other.chunks([], 1),
        ]

    try:
        for canvas in canvases(task):
            sent = Call.of(canvas, None, None, "an-id", {}).for_taskiq()
            assert sent is not None
            assert sent.id == "an-id"
        for canvas in canvases(single):
            assert Call.of(canvas, None, None, None, {}).for_taskiq() is None, canvas
        named = Call.of(task.si().set(task_id="mine", countdown=2), None, None, None, {})
        message = named.for_taskiq()
        assert isinstance(message, Message)
        assert (named.id, message.options["task_id"], message.options["countdown"]) == ("mine", "mine", 2)
    finally:
        del twins.broker.local_task_registry["t"]


def test_only_what_celery_can_call_is_dispatched() -> None:
    with pytest.raises(TypeError, match="dispatch takes a Celery task, signature or canvas, not 'rename'"):
        Call.of("rename", (1,), None, None, {})
