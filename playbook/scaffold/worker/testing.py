"""The application's tests on the system that the flags name (dual mode; cutover deletes this).

A plugin of pytest: the conftest of the tests names it in `pytest_plugins`. The tests stay as they are.

    TASKIQ_ROUTE=celery pytest
    TASKIQ_ROUTE=taskiq pytest

Invariants, where a call goes to TaskIQ:

- What a test itself sends (`delay`, `apply_async`, `apply` of a task; a canvas) goes where a routed call of
  the application goes. A task that a test has defined gets a twin first. A call that the application sends
  without the router goes to Celery, as in production.
- It runs where, and only if, Celery's worker of the tests would run it (`testing_worker`).
- What a test puts in the place of a task, of its `delay` or of its `apply_async` is called instead.
"""

import asyncio
import inspect
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Task
from celery.canvas import Signature, _chain, chord, group

from . import routing
from .broker import broker
from .canvases import Workflow
from .clients import with_client_sync
from .handles import Handle
from .retries import RetryPolicy
from .testing_worker import SuiteWorker
from .twins import Twin, twin

PACKAGE = __name__.partition(".")[0]
CLASSES = (Task, Signature, _chain, group, chord)
METHODS = {
    "dispatch": "delay",
    "dispatch_sync": "delay",
    "dispatch_apply": "apply_async",
    "dispatch_apply_sync": "apply_async",
}
"""The router's functions, and what the application called before it had them."""

_folders: list[str] = []


def pytest_plugin_registered(plugin: object) -> None:
    """Remember the folder of a conftest that asks for this plugin: what lies in it are tests."""
    if __name__ in getattr(plugin, "pytest_plugins", ()):
        _folders.append(f"{Path(str(getattr(plugin, '__file__', ''))).parent}{os.sep}")


@pytest.fixture(scope="session", autouse=True)
def routed_suite() -> Iterator[None]:
    """Route what the tests send, for the whole run."""
    with pytest.MonkeyPatch.context() as patch, SuiteWorker() as worker:
        route = routing.dispatch_apply_sync
        for cls in CLASSES:
            patch.setattr(cls, "apply_async", _routed(vars(cls)["apply_async"], route))
        patch.setattr(Task, "apply", _applied(Task.apply, worker))
        _call_replaced(patch)
        for message in (routing.Message, Workflow):
            patch.setattr(message, "send", worker.instead_of(message.send))
        # Tests change the options of Celery's task; a twin would keep those that it saw first.
        patch.setattr(Twin, "retry_policy", property(lambda twin: RetryPolicy.of(twin.celery_task)))
        yield


# What tests send


def _routed(send: Callable[..., Any], route: Callable[..., Any]) -> Callable[..., Any]:
    def apply_async(self: Any, *args: Any, **options: Any) -> Any:
        if not _is_sent_by_a_test():
            return send(self, *args, **options)
        _add_twins(self.app)
        return route(self, *args, **options)

    return apply_async


def _applied(run: Callable[..., Any], worker: SuiteWorker) -> Callable[..., Any]:
    def apply(self: Any, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        message = None
        if options.keys() <= {"throw"} and _is_sent_by_a_test():
            _add_twins(self.app)
            message = routing.Call.of(self, args, kwargs, None, {}).for_taskiq()
        if message is None:
            return run(self, args, kwargs, **options)
        with worker.eager(propagates=bool(options.get("throw"))):
            with_client_sync(message.send)
        return Handle(message.id, "taskiq")

    return apply


def _add_twins(app: Any) -> None:
    """Give a twin to each task of an app that the tests have defined."""
    for name, task in app.tasks.items():
        file = getattr(sys.modules.get(task.__module__), "__file__", None) or ""
        if _is_of_tests(file) and getattr(broker.find_task(name), "celery_task", None) is not task:
            twin(task, name)


def _is_of_tests(file: str) -> bool:
    return file.startswith(tuple(_folders))


def _is_sent_by_a_test() -> bool:
    """Tell whether Celery was called by code of the tests, not by the application, and not by itself."""
    frame = sys._getframe(2)
    while frame.f_back and _passes_on(frame):
        frame = frame.f_back
    if frame.f_globals.get("__name__") == __name__:
        # The router called a test's spy, and that calls what it took the place of.
        return True
    return _package(frame) != PACKAGE and _is_of_tests(frame.f_code.co_filename)


def _passes_on(frame: Any) -> bool:
    own = frame.f_globals.get("__name__") == __name__
    return _package(frame) in ("celery", "unittest") or (own and frame.f_code.co_name in vars(Task))


def _package(frame: Any) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


# What tests put in the place of tasks


class Answer:
    """What a test's own `delay` returned, with the waits of a handle besides."""

    def __init__(self, given: Any) -> None:
        self._given = given

    def __getattr__(self, name: str) -> Any:
        return getattr(self._given, name)

    async def aget(self, *args: Any, **options: Any) -> Any:
        """Return what `get` returns."""
        return await asyncio.to_thread(self._given.get, *args, **options)

    async def aready(self) -> Any:
        """Return what `ready` returns."""
        return self._given.ready()


def _call_replaced(patch: pytest.MonkeyPatch) -> None:
    """Let the router call what a test has put in the place of a task or of one of its methods."""
    usual = {
        (cls, name): vars(cls)[name] for cls in CLASSES for name in METHODS.values() if name in vars(cls)
    }

    def is_replaced(task: Any, method: str) -> bool:
        if not isinstance(task, Task | Signature):
            return True
        # Celery's own `delay` calls `apply_async`.
        for name in {method, "apply_async"}:
            if name in getattr(task, "__dict__", {}):
                return True
            if any(vars(cls)[name] is not known for (cls, of), known in usual.items() if of == name):
                return True
        return False

    for name, method in METHODS.items():
        known = getattr(routing, name)
        own = _watching(known, method, is_replaced)
        for module in [module for key, module in sys.modules.items() if key.startswith(f"{PACKAGE}.")]:
            for bound in [bound for bound, value in vars(module).items() if value is known]:
                patch.setattr(module, bound, own)


def _watching(
    dispatch: Callable[..., Any], method: str, is_replaced: Callable[[Any, str], bool]
) -> Callable[..., Any]:
    def call(task: Any, /, *args: Any, **options: Any) -> Any:
        if not is_replaced(task, method):
            return dispatch(task, *args, **options)
        answer = getattr(task, method)(*args, **options)
        return _answered(answer) if inspect.iscoroutinefunction(dispatch) else answer

    return call


def _answered(answer: Any) -> Coroutine[Any, Any, Any]:
    async def answered() -> Any:
        return answer if answer is None or isinstance(answer, Handle) else Answer(answer)

    return answered()
