"""What workers say about the attempts of tasks, in one Redis list: an entry at the start, one at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from redis import Redis

from playbook.oracle.system import TASK_MODULE
from playbook.oracle.tags import TAG

EVENTS, ENDS = "oracle:events", "oracle:ends"


def started(
    redis: Redis, task: str, task_id: str, request: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> None:
    """Note that an attempt starts.

    Parameters:
        redis: where to.
        task: the task's full name.
        task_id: its id.
        request: of the attempt; has `root_id` and `parent_id`.
        args: its positional arguments.
        kwargs: its keyword arguments.
    """
    name = task.removeprefix(f"{TASK_MODULE}.")
    event = {
        "id": task_id,
        "task": name,
        "case": kwargs.get(TAG),
        "related": [request.parent_id, request.root_id],
        "label": _label(name, args, kwargs),
    }
    redis.rpush(EVENTS, json.dumps(event))


def ended(redis: Redis) -> None:
    """Note that an attempt has ended."""
    redis.incr(ENDS)


def running(redis: Redis) -> tuple[int, int]:
    """Return the number of attempts that have started, and of those that have ended."""
    # In this order an attempt that is missed between the two counts as running, never as ended.
    ends = int(redis.get(ENDS) or 0)
    return redis.llen(EVENTS), ends


def read_events(redis: Redis) -> list[dict[str, Any]]:
    """Return all starts, in order."""
    return [json.loads(entry) for entry in redis.lrange(EVENTS, 0, -1)]


def _label(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return what the id of a task is replaced by in results."""
    position = {"ids": 0, "collect_ids": 1}.get(name)
    if position is None:
        return name
    return f"{name}:{kwargs['i'] if 'i' in kwargs else args[position]}"
