"""The results of tasks that were moved, told to those who wait for them on the side they came from.

Invariant: an id stays noted in Redis until its result stands where its sender looks; so this can be killed,
and run again, at any time while the other side keeps the result (a day, unless it is told otherwise).
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from taskiq import TaskiqResult

from .errors import WorkerLostError
from .keys import Keys
from .results import dumps, error_result
from .transfer_celery import CeleryRedis

CELERYS = {
    "ChordError": "celery.exceptions",
    "Ignore": "celery.exceptions",
    "MaxRetriesExceededError": "celery.exceptions",
    "NotRegistered": "celery.exceptions",
    "Reject": "celery.exceptions",
    "TaskRevokedError": "celery.exceptions",
    "WorkerLostError": "billiard.exceptions",
}
"""Errors of this runtime that Celery has under the same name -> their module there."""


NO_ERROR = dumps(TaskiqResult(is_err=False, return_value=None, execution_time=0.0), b"null")

DEPENDENCY = re.compile(r"Dependency (\S+) raised ")
"""How the error of a chord's body begins (celery/backends/base.py)."""

BATCH = 1000
"""How many results are read at once."""


def tell_results(celery: CeleryRedis, taskiq: Any, keys: Keys, noted: str) -> tuple[int, int]:
    """Write the results that have come.

    Args:
        celery: where to.
        taskiq: a client of this runtime's Redis.
        keys: names of its keys.
        noted: key of the set of ids.

    Returns:
        How many were told, and how many have not come yet.
    """
    # Who waits for a chord's body gets the error of the member that failed, if he hears of that first.
    last = [task_id for task_id, result in _ready(taskiq, keys, noted) if "dependency" in result]
    told = 0
    for task_id, result in _ready(taskiq, keys, noted):
        if "dependency" not in result:
            told += _tell(celery, taskiq, noted, task_id, result)
    for task_id in last:
        if (data := taskiq.get(keys.result(task_id))) is not None:
            told += _tell(celery, taskiq, noted, task_id, json.loads(data))
    return told, int(taskiq.scard(noted))


def tell_back(celery: CeleryRedis, taskiq: Any, keys: Keys, noted: str, life: int) -> tuple[int, int]:
    """Write the results that Celery has, of tasks that went back to it, where TaskIQ's clients look.

    Args:
        celery: where they are.
        taskiq: a client of this runtime's Redis.
        keys: names of its keys.
        noted: key of the set of ids.
        life: seconds that results are kept.

    Returns:
        How many were told, and how many have not come yet.
    """
    told = 0
    for member in taskiq.smembers(noted):
        task_id = member.decode()
        if (found := celery.result(task_id)) is None:
            continue
        taskiq.set(keys.result(task_id), as_taskiq(found, celery), ex=life)
        told += int(taskiq.srem(noted, member))
    return told, int(taskiq.scard(noted))


def as_taskiq(found: dict[str, Any], celery: CeleryRedis) -> str:
    """Return what Celery's backend keeps of a task as this runtime's result (JSON)."""
    value = found["result"]
    if found["status"] == "SUCCESS":
        return json.dumps(json.loads(NO_ERROR) | {"return_value": value})
    member = DEPENDENCY.match(str((value["exc_message"] or [""])[0]))
    cause = celery.result(member[1]) if value["exc_type"] == "ChordError" and member else None
    if member is None or cause is None:
        return failed(value)
    return json.dumps({"dependency": member[1], **json.loads(failed(cause["result"]))})


def failed(error: dict[str, Any]) -> str:
    """Return an error that Celery has written, as this runtime's result (JSON)."""
    cause = {"exc_cause": None, "exc_context": None, "exc_suppress_context": False}
    return json.dumps(json.loads(error_result(WorkerLostError())) | {"error": {**cause, **error}})


def _ready(taskiq: Any, keys: Keys, noted: str) -> Iterator[tuple[str, dict[str, Any]]]:
    ids = [member.decode() for member in taskiq.smembers(noted)]
    for first in range(0, len(ids), BATCH):
        batch = ids[first : first + BATCH]
        for task_id, data in zip(batch, taskiq.mget(map(keys.result, batch)), strict=True):
            if data is not None:
                yield task_id, json.loads(data)


def _tell(celery: CeleryRedis, taskiq: Any, noted: str, task_id: str, result: dict[str, Any]) -> int:
    status, value = as_celery(result)
    celery.tell(task_id, status, value, datetime.now(UTC).isoformat())
    return int(taskiq.srem(noted, task_id))


def as_celery(result: dict[str, Any]) -> tuple[str, Any]:
    """Return state and result as Celery's backend writes them (celery/backends/base.py)."""
    if not result["is_err"]:
        return "SUCCESS", result["return_value"]
    error = result["error"] or {"exc_type": "Exception", "exc_message": ["unknown"], "exc_module": "builtins"}
    name, message = error["exc_type"], error["exc_message"]
    if result.get("dependency"):
        text = f"Dependency {result['dependency']} raised {name}({', '.join(map(repr, message))})"
        name, message, error = "ChordError", [text], {"exc_module": __package__}
    module = error["exc_module"]
    if module.startswith(str(__package__)):
        module = CELERYS.get(name, module)
    state = "REVOKED" if name == "TaskRevokedError" else "FAILURE"
    return state, {"exc_type": name, "exc_message": message, "exc_module": module}
