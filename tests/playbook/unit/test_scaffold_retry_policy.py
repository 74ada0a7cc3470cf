"""Retries are Celery's: the same attempts after the same delays, for whatever policy."""

import inspect
import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from celery import Celery, Task
from celery.exceptions import MaxRetriesExceededError as CeleryMaxRetriesExceededError
from celery.exceptions import Retry as CeleryRetry
from hypothesis import given, settings
from hypothesis import strategies as st
from taskiq import TaskiqMessage, TaskiqResult

from playbook.scaffold.worker.context import current_task
from playbook.scaffold.worker.middleware import RetryMiddleware
from playbook.scaffold.worker.retries import (
    MaxRetriesExceededError,
    NextAttempt,
    Retry,
    RetryPolicy,
)
from playbook.scaffold.worker.retry_arguments import next_arguments
from playbook.scaffold.worker.running import Request, Running, entered

MOST = 6
"""Attempts after which a task without limit is not followed any further."""


class BrokenError(Exception):
    pass


class BadlyBrokenError(BrokenError):
    pass


class OtherError(Exception):
    pass


ERRORS = (BrokenError, BadlyBrokenError, OtherError)


@dataclass(frozen=True)
class Case:
    """A task's options, and what it does in each attempt: raise an error, or ask for a retry."""

    options: dict[str, Any]
    error: type[Exception]
    explicit: dict[str, Any] | None
    gives_error: bool
    swallows: bool
    seed: int

    def body(self, task: Any) -> str:
        error = self.error("x")
        if self.explicit is None:
            raise error
        arguments = {"exc": error} if self.gives_error else {}
        try:
            raise task.retry(**self.explicit, **arguments)
        except Exception:
            if self.swallows:
                return "swallowed"
            raise


@dataclass
class Life:
    """The delays that were asked for, and how it ended."""

    delays: list[float] = field(default_factory=list)
    end: str = "success"


delays = st.floats(0, 400, allow_nan=False).map(lambda value: round(value, 2)) | st.integers(0, 400)
limits = st.none() | st.integers(0, 4)
errors = st.lists(st.sampled_from(ERRORS), max_size=3, unique=True).map(tuple)


def some(**strategies: Any) -> Any:
    """Any selection of these options."""
    return st.fixed_dictionaries({}, optional=strategies)


cases = st.builds(
    Case,
    options=some(
        max_retries=limits,
        default_retry_delay=delays,
        autoretry_for=errors,
        dont_autoretry_for=errors,
        retry_backoff=st.booleans() | st.sampled_from([0, 0.5, 1, 2.7, 5, 60]),
        retry_backoff_max=st.integers(0, 900),
        retry_jitter=st.booleans(),
        retry_kwargs=some(max_retries=limits, countdown=delays),
    ),
    error=st.sampled_from(ERRORS),
    explicit=st.none() | some(max_retries=limits, countdown=delays, throw=st.booleans()),
    gives_error=st.booleans(),
    swallows=st.booleans(),
    seed=st.integers(),
)


def under_celery(case: Case) -> Life:
    """Run the task through Celery's own `run` and `retry`; only the sending is caught."""
    sent: list[dict[str, Any]] = []

    class Recording(Task):
        def apply_async(self, *args: Any, **options: Any) -> None:
            sent.append(options)

    app = Celery("tests", broker="memory://", set_as_current=False)

    @app.task(base=Recording, bind=True, shared=False, name="t", **case.options)
    def t(self: Any) -> Any:
        return case.body(self)

    life = Life()
    for retries in range(MOST):
        sent.clear()
        t.push_request(id="i", args=[], kwargs={}, retries=retries, called_directly=False, delivery_info={})
        try:
            t.run()
        except CeleryRetry:
            life.end = "retry"
        except Exception as error:
            life.end = type(error).__name__
        else:
            life.end = "success"
        finally:
            t.pop_request()
            # Celery keeps the limit of an explicit retry on the task, for whatever message comes next.
            vars(t).pop("override_max_retries", None)
        life.delays += [float(options["countdown"]) for options in sent]
        if not sent:
            break
    return life


@contextmanager
def attempt(policy: RetryPolicy, retries: int) -> Iterator[Running]:
    with entered(Running(Request(id="i", task="t", retries=retries), policy)) as task:
        yield task


def under_taskiq(case: Case) -> Life:
    """Run the task as the worker does, with the middleware that decides."""
    policy = RetryPolicy.of(case.options)
    message = TaskiqMessage(task_id="i", task_name="t", labels={}, args=[], kwargs={})
    life = Life()
    for retries in range(MOST):
        with attempt(policy, retries) as task:
            result: TaskiqResult[Any] = TaskiqResult(is_err=False, return_value=None, execution_time=0)
            try:
                case.body(current_task)
            except Exception as error:
                result.is_err, result.error = True, error
                RetryMiddleware().on_error(message, result, error)
        life.end = (
            "retry"
            if isinstance(result.error, Retry)
            else type(result.error).__name__
            if result.error
            else "success"
        )
        life.delays += [float(planned.countdown or 0) for planned in task.attempts]
        if not task.attempts:
            break
    return life


@given(cases)
@settings(max_examples=200, deadline=None)
def test_every_policy_has_celerys_attempts_and_delays(case: Case) -> None:
    random.seed(case.seed)
    expected = under_celery(case)
    random.seed(case.seed)
    assert under_taskiq(case) == expected


@given(retries=st.integers(0, 40), factor=st.floats(0.1, 100), most=st.integers(0, 10_000))
def test_jitter_stays_within_the_delay_without_it(retries: int, factor: float, most: int) -> None:
    without = RetryPolicy(retry_backoff=factor, retry_backoff_max=most, retry_jitter=False)
    with_jitter = RetryPolicy(retry_backoff=factor, retry_backoff_max=most)
    longest = without.next_delay(retries)
    assert longest == min(most, int(max(1, factor)) * 2**retries)
    assert 0 <= (with_jitter.next_delay(retries) or 0) <= longest
    assert with_jitter.next_delay(retries, randrange=lambda stop: stop - 1) == longest


def test_the_errors_have_celerys_names() -> None:
    assert MaxRetriesExceededError.__name__ == CeleryMaxRetriesExceededError.__name__
    assert Retry.__name__ == CeleryRetry.__name__


def test_the_defaults_are_celerys() -> None:
    ours = RetryPolicy()
    app = Celery("tests", set_as_current=False)

    @app.task(shared=False, name="t")
    def t() -> None: ...

    assert (ours.max_retries, ours.default_retry_delay) == (t.max_retries, t.default_retry_delay)
    assert RetryPolicy.of(t) == ours


def test_retry_arguments_that_do_not_exist_are_refused_at_the_definition() -> None:
    with pytest.raises(ValueError, match="priority"):
        RetryPolicy(retry_kwargs={"priority": 3})


def test_outside_of_a_worker_retry_raises_the_error() -> None:
    assert current_task.request.called_directly
    with pytest.raises(BrokenError):
        current_task.retry(exc=BrokenError())
    with pytest.raises(Retry):
        current_task.retry()
    caught = None
    try:
        raise OtherError
    except OtherError as error:
        caught = error
        with pytest.raises(BrokenError) as raised:
            current_task.retry(exc=BrokenError())
    assert raised.value.__cause__ is caught


def test_a_retry_survives_the_way_from_a_child_process() -> None:
    retry = Retry(NextAttempt(1, (1,), {"a": 2}, countdown=3.5), ValueError("x"))
    copy = pickle.loads(pickle.dumps(retry))
    assert copy.attempt == retry.attempt
    assert str(copy) == str(retry) == "Retry in 3.5s: ValueError('x')"


def merged(function: Any, args: Any, kwargs: Any, new: dict[str, Any]) -> tuple[Any, Any]:
    request = Request(id="i", args=tuple(args), kwargs=kwargs)
    found = next_arguments(inspect.signature(function), request, new.get("args"), new.get("kwargs"))
    return list(found[0]), found[1]


def celery_merged(function: Any, args: Any, kwargs: Any, new: dict[str, Any]) -> tuple[Any, Any]:
    sent: list[tuple[Any, Any]] = []

    class Recording(Task):
        def apply_async(self, args: Any, kwargs: Any, **options: Any) -> None:
            sent.append((list(args), dict(kwargs)))

    app = Celery("tests", broker="memory://", set_as_current=False)
    task = app.task(base=Recording, shared=False, name="t")(function)
    task.push_request(
        id="i", args=list(args), kwargs=kwargs, retries=0, called_directly=False, delivery_info={}
    )
    with pytest.raises(CeleryRetry):
        task.retry(**new)
    return sent[0]


def ab(a: Any, b: Any = 0, *, c: Any = 0) -> None: ...
def rest(a: Any, /, b: Any = 0, *more: Any, **named: Any) -> None: ...


@given(
    function=st.sampled_from([ab, rest]),
    args=st.lists(st.integers(), max_size=3),
    kwargs=some(a=st.integers(), b=st.integers(), c=st.integers()),
    new=some(args=st.lists(st.integers(), max_size=3), kwargs=some(a=st.integers(), b=st.integers())),
)
@settings(max_examples=200, deadline=None)
def test_new_arguments_meet_the_old_ones_as_under_celery(
    function: Any, args: Any, kwargs: Any, new: Any
) -> None:
    assert merged(function, args, kwargs, new) == celery_merged(function, args, kwargs, new)
