"""The tasks that case files use, each written once for both systems."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, cast

from redis import Redis

from playbook.oracle.system import TaskSide
from playbook.oracle.tags import here, signature

LISTS, COUNTS, RAISED = "oracle:lists", "oracle:counts", "oracle:raised"


class ExpectedError(Exception):
    """The error that tasks raise on purpose."""


OPTIONS: dict[str, dict[str, Any]] = {
    "retry_then": {"max_retries": 5},
    "retry_always": {"max_retries": 2},
    "retry_always_noexc": {"max_retries": 2},
    "mark_retry": {"max_retries": 5},
    "autoretry_fail": {"max_retries": 2, "default_retry_delay": 0.05, "autoretry_for": (ExpectedError,)},
}
"""Options of the tasks that have any; they mean the same on both systems."""

BLOCKING = {"delayed_sum", "delayed_fail", "spawn_chain"}
"""Tasks that wait. The others never take long."""

RETRY_DELAY = 0.05


class Tasks:
    """The bodies. Each public method but `note_error` is a task.

    Parameters:
        side: the system that runs them.
        redis: where they leave what they do.
    """

    def __init__(self, side: TaskSide, redis: Redis) -> None:
        self._side = side
        self._redis = redis

    def note_error(self, error: Exception) -> None:
        """Note that a task of this case has raised an error."""
        self._redis.sadd(f"{RAISED}:{here.get()}", type(error).__name__)

    # Values

    def add(self, x: Any, y: Any, z: Any = None) -> Any:
        return x + y if z is None else x + y + z

    def mul(self, x: Any, y: Any) -> Any:
        return x * y

    def tsum(self, values: Any) -> Any:
        return sum(values)

    def xsum(self, values: Any) -> Any:
        return sum(sum(value) if isinstance(value, list) else value for value in values)

    def identity(self, x: Any) -> Any:
        return x

    def return_none(self, *_: Any) -> None:
        return None

    def echo_args(self, *args: Any, **kwargs: Any) -> Any:
        return {"args": list(args), "kwargs": kwargs}

    def delayed_sum(self, values: Any, pause: float = 0.5) -> Any:
        time.sleep(pause)
        return sum(values)

    def ids(self, i: Any) -> Any:
        request = self._side.current.request
        return [request.root_id, request.parent_id, i]

    def collect_ids(self, res: Any, i: Any) -> Any:
        return [res, self.ids(i)]

    # Traces

    def append_to_redis_list(self, key: str, value: Any) -> Any:
        self._redis.rpush(f"{LISTS}:{here.get()}:{key}", json.dumps(value))
        return value

    def append_value(self, value: Any, key: str) -> Any:
        return self.append_to_redis_list(key, value)

    def redis_count(self, key: str) -> Any:
        return self._redis.hincrby(f"{COUNTS}:{here.get()}", key, 1)

    def errback_old(self, request_id: str) -> None:
        self.append_to_redis_list("errback_old", request_id)

    def errback_new(self, request: Any, exc: Any, traceback: Any) -> None:
        self.append_to_redis_list("errback_new", {"id": request.id, "exc": type(exc).__name__})

    # Leaves of random canvases: each notes its name when it runs, and the result shows where all data went

    def mark(self, *args: Any, name: str) -> list[Any]:
        self.append_to_redis_list("marks", name)
        return [name, list(args)]

    def mark_fail(self, *args: Any, name: str) -> None:
        self.append_to_redis_list("marks", name)
        raise ExpectedError(name)

    def mark_retry(self, *args: Any, name: str) -> list[Any]:
        noted = self.mark(*args, name=name)
        return cast(list[Any], self.retry_then(noted, fails=1))

    def mark_error(self, request_id: str, *, name: str) -> None:
        self.append_to_redis_list("marks", name)

    # Errors

    def fail(self, *args: Any) -> None:
        raise ExpectedError("boom", *args)

    def delayed_fail(self, pause: float = 0.5) -> None:
        time.sleep(pause)
        raise ExpectedError("late boom")

    def errback_fails(self, request_id: str) -> None:
        raise ExpectedError("errback boom")

    def ignore_me(self, *_: Any) -> None:
        raise self._side.ignore

    def reject_me(self, *_: Any) -> None:
        raise self._side.reject("rejected", requeue=False)

    # Retries

    def retry_then(self, value: Any, fails: int = 2) -> Any:
        task = self._side.current
        if task.request.retries < fails:
            raise task.retry(countdown=RETRY_DELAY)
        return value

    def retry_always(self, *_: Any) -> None:
        raise self._side.current.retry(exc=ExpectedError("gave up"), countdown=RETRY_DELAY)

    def retry_always_noexc(self, *_: Any) -> None:
        raise self._side.current.retry(countdown=RETRY_DELAY)

    def autoretry_fail(self, *_: Any) -> None:
        raise ExpectedError("auto boom")

    # Tasks that start or become others

    def spawn_chain(self, x: Any, y: Any, key: str) -> str:
        self._side.start(self._s("add", x, y) | self._s("append_value", key))
        return "spawned"

    def add_replaced(self, x: Any, y: Any) -> None:
        self._replace(self._s("add", x, y))

    def fail_replaced(self, *args: Any) -> None:
        self._replace(self._s("fail", *args, immutable=True))

    def replace_with_chain(self, x: Any, link_key: str | None = None) -> None:
        canvas = self._side.chain(self._s("identity", x), self._s("identity"))
        if link_key:
            canvas.link(self._s("append_to_redis_list", link_key, "inner link", immutable=True))
        self._replace(canvas)

    def replace_with_failing_chain(self, x: Any, link_key: str | None = None) -> None:
        canvas = self._side.chain(self._s("identity", x), self._s("fail"))
        if link_key:
            canvas.link_error(self._s("append_to_redis_list", link_key, "inner errback", immutable=True))
        self._replace(canvas)

    def replace_with_empty_chain(self, *_: Any) -> None:
        self._replace(self._side.chain())

    def add_to_all(self, nums: Any, val: Any) -> None:
        self._replace(self._side.group([self._s("add", num, val) for num in nums]))

    def add_to_all_to_chord(self, nums: Any, val: Any) -> int:
        for num in nums:
            self._side.current.add_to_chord(self._s("add", num, val))
        return 0

    def add_chord_to_chord(self, nums: Any, val: Any) -> int:
        members = self._side.group([self._s("add", num, val) for num in nums])
        self._side.current.add_to_chord(members | self._s("tsum"))
        return 0

    def nest_a(self, state: bool = False) -> None:
        self._nest("A", state, lambda: [self._s("nest_b"), self._s("nest_a", state=True, immutable=True)])

    def nest_b(self, state: bool = False) -> None:
        self._nest(
            "B",
            state,
            lambda: [
                self._s("append_to_redis_list", "nest", "C"),
                self._s("nest_b", state=True, immutable=True),
            ],
        )

    def _nest(self, name: str, state: bool, steps: Callable[[], list[Any]]) -> None:
        self.append_to_redis_list("nest", f"{name} {'out' if state else 'in'}")
        if not state:
            self._replace(self._side.chain(*steps()))

    def _s(self, name: str, *args: Any, immutable: bool = False, **kwargs: Any) -> Any:
        return signature(self._side, here.get(), name, args, kwargs, immutable)

    def _replace(self, canvas: Any) -> None:
        raise self._side.current.replace(canvas)


NAMES = frozenset(name for name in vars(Tasks) if not name.startswith("_")) - {"note_error"}
for _name in NAMES:
    vars(Tasks)[_name].__qualname__ = _name  # stands in the messages of errors about arguments
