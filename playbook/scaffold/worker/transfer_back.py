"""From TaskIQ's messages and workflows to Celery's messages.

Invariant: a unit is one message, or all messages of one workflow. What it comes to is made of what Celery
itself would have sent: a step is followed by its `chain`, its `callbacks` and its chord. Every task keeps
its id. What has no such form is left to the TaskIQ workers:

    a group at the end of a workflow   Celery has no result of a group; its members are known to the client
    a group in a header, once started  Celery has saved how its results are nested when it sent the chord
    an error callback on its way       Celery calls those with three parameters without a message
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .canvas import CELERY_NAMES
from .messages import iso
from .plans import ERRBACK, JOIN, PART, START
from .transfer_celery import DEFAULT_QUEUE, Raw, written
from .transfer_plans import LeftError
from .transfer_results import as_celery

HOLE = "\x00hole\x00"
NAMES = {own: name for name, own in CELERY_NAMES.items()}

Link = list[Any]
"""A signature and those that follow it."""


@dataclass
class Place:
    """Where a message lies: `stream`, its key, the entry, who holds it; or `delayed`, set, token, hash."""

    kind: str
    key: str
    id: str
    other: str


@dataclass
class Waiting:
    """A message of TaskIQ's that waits: where, and its fields (`lua`)."""

    place: Place
    queue: str
    fields: dict[str, str]

    @property
    def step(self) -> list[str]:
        """Workflow, node, root and parent; "-" for what there is not."""
        return (self.fields.get("step") or "- - - -").split()


@dataclass
class Returned:
    """A unit for Celery.

    Attributes:
        messages: list and message of each.
        chords: by group: its size, and id, state, result and place of the members that have ended.
        ids: the ids of its tasks.
    """

    messages: list[tuple[str, bytes]] = field(default_factory=list)
    chords: dict[str, tuple[int, list[tuple[str, str, Any, int]]]] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)


class Return:
    """One unit on its way back.

    Parameters:
        waiting: its messages.
        flow: its workflow, as `transfer_lua.READ_WORKFLOW` tells it; None: it belongs to none.
        default: name of TaskIQ's default queue.
    """

    def __init__(self, waiting: Sequence[Waiting], flow: dict[str, Any] | None, default: str) -> None:
        self._waiting = waiting
        self._nodes: list[dict[str, Any]] = list(flow["nodes"]) if flow else []
        self._errbacks: list[Any] = list(flow["errbacks"]) if flow else []
        self._default = default
        self._result = Returned()

    def data(self) -> Returned:
        """Return what Celery is to have.

        Raises:
            LeftError: it has no form there.
        """
        sent = {k for k, node in enumerate(self._nodes) if node["state"] == "s" and not _is_join(node)}
        here = {int(message.step[1]) for message in self._waiting if message.step[0] != "-"}
        if sent != here:
            raise LeftError("a TaskIQ worker runs a step of its workflow; stop the TaskIQ workers first")
        for message in self._waiting:
            self._add(message)
        self._result.ids += [
            node["id"] for node in self._nodes if node["state"] == "w" and not _is_join(node)
        ]
        return self._result

    def _add(self, message: Waiting) -> None:
        found = json.loads(message.fields["data"])
        if "failed" in found["labels"]:
            raise LeftError("an error callback on its way has no form in Celery")
        _, k, root, parent = message.step
        node = self._nodes[int(k)] if k != "-" else {"next": [], "errbacks": []}
        callbacks, rest, member = self._following(node["next"])
        headers = {
            "task": NAMES.get(found["task_name"], found["task_name"]),
            "id": found["task_id"],
            "retries": int(found["labels"].get("_retries") or 0),
            "eta": _time(message.fields.get("due")),
            "expires": _time(message.fields.get("expires")),
            "root_id": found["labels"].get("root_id") or found["task_id"] if root == "-" else root,
            "parent_id": None if parent == "-" else parent,
            "group": found["labels"].get("group_id"),
        }
        embed: Raw = {"callbacks": callbacks or None, "chain": None, "chord": None}
        embed["errbacks"] = self._errors(node["errbacks"]) or None
        if rest:
            embed["chain"] = list(reversed(_with_member(rest, member)))
        elif member:
            headers |= {"group": member["group_id"], "group_index": member["group_index"]}
            embed["chord"] = member["chord"]
        queue = self._queue(message.queue) or DEFAULT_QUEUE
        data = written(queue, headers, found["args"], found["kwargs"], embed)
        self._result.messages.append((queue, data))
        self._result.ids.append(found["task_id"])

    def _following(self, edges: list[list[int]]) -> tuple[list[Raw], list[Raw], Raw | None]:
        """Return what gets a result: callbacks, the steps of a chain, and which member of a header it is."""
        if not edges:
            return [], [], None
        *others, last = edges
        callbacks = [_joined(self._steps(edge)) for edge in others if self._waits(edge)]
        if last[0] == PART:
            return callbacks, [], self._member(last)
        return callbacks, self._steps(last) if self._waits(last) else [], self._end(last)

    def _waits(self, edge: list[int]) -> bool:
        return bool(self._nodes[edge[1]]["state"] == "w")

    def _steps(self, edge: list[int]) -> list[Raw]:
        """Return the signatures that an edge starts, one after the other."""
        node = self._nodes[edge[1]]
        if edge[0] == JOIN:
            return self._canvas(node)
        raw = self._signature(node["template"])
        raw["options"] |= {"task_id": node["id"]}
        callbacks, rest, _ = self._following(node["next"])
        if callbacks:
            raw["options"]["link"] = callbacks
        if errbacks := self._errors(node["errbacks"]):
            raw["options"]["link_error"] = errbacks
        return [raw, *rest]

    def _end(self, edge: list[int]) -> Raw | None:
        """Return which member of a header the end of what an edge starts is."""
        node = self._nodes[edge[1]]
        if not node["next"]:
            if _is_join(node) and node["main"]:
                raise LeftError("its result is the list of a group, which Celery does not collect")
            return None
        last = node["next"][-1]
        return self._member(last) if last[0] == PART else self._end(last)

    def _member(self, edge: list[int]) -> Raw | None:
        """Return the options of a member of a header that has started; None: it has not."""
        join = self._nodes[edge[1]]
        if join["state"] != "s":
            return None
        if join["name"]:
            if join["main"] or join["next"]:
                raise LeftError("a group that has started has no form in Celery")
            return None
        if join["id"] not in self._result.chords:
            parts = [self._ended(join, *part) for part in join["parts"]]
            self._result.chords[join["id"]] = (len(join["order"]), parts)
        _, rest, outer = self._following(join["next"])
        body = _joined(_with_member(rest, outer))
        index = join["order"].index(edge[2])
        return {"group_id": join["id"], "group_index": index, "chord": body}

    def _ended(self, join: dict[str, Any], i: int, how: str, slot: Any) -> tuple[str, str, Any, int]:
        index = join["order"].index(i)
        if how == "v":
            # Nobody asks for the id, but it must not be another's.
            return f"{join['id']}:{i}", "SUCCESS", json.loads(slot), index
        result, cause, _, silent = slot
        if silent:
            raise LeftError("a member of its header has ended without a result (Ignore)")
        state, error = as_celery(json.loads(result))
        return str(cause), state, error, index

    def _canvas(self, join: dict[str, Any]) -> list[Raw]:
        """Return a group that has not started; or a chord, and what follows its body."""
        header = [_chained(self._steps(entry)) for entry in join["template"]]
        group = _raw("celery.group", {"tasks": header}, {"task_id": join["id"]}, "group")
        if join["name"]:
            return [group]
        _, (body, *rest), _ = self._following(join["next"])
        options = {"task_id": body["options"]["task_id"]}
        return [_raw("celery.chord", {"header": group, "body": body, "kwargs": {}}, options, "chord"), *rest]

    def _errors(self, edges: list[list[int]]) -> list[Raw]:
        return [
            self._signature(self._errbacks[edge[1]]) if edge[0] == ERRBACK else _joined(self._steps(edge))
            for edge in edges
            if edge[0] in (ERRBACK, START, JOIN)
        ]

    def _signature(self, template: list[str]) -> Raw:
        """Return the signature of a message that has not been sent."""
        queue, due, expires, *parts, after = template
        text = (HOLE_TEXT if len(parts) == 2 else "").join(parts) + (f'"{HOLE_TEXT}"{after}' if after else "")
        found = json.loads(text)
        args = found["args"]
        takes = after != ""
        if args and args[0] == HOLE:
            args = args[1:]
        options: Raw = {}
        if name := self._queue(queue):
            options["queue"] = name
        if due:
            options |= {"countdown": int(due) / 1000} if due[0] == "+" else {"eta": _time(due)}
        if expires:
            options["expires"] = int(expires) / 1000 if expires[0] == "+" else _time(expires)
        name = NAMES.get(found["task_name"], found["task_name"])
        return _raw(name, found["kwargs"], options, None, args, not takes)

    def _queue(self, name: str) -> str | None:
        return None if name == self._default else name


HOLE_TEXT = json.dumps(HOLE)[1:-1]


def _is_join(node: dict[str, Any]) -> bool:
    return node.get("size") is not None


def _raw(
    task: str, kwargs: Raw, options: Raw, kind: str | None, args: Sequence[Any] = (), immutable: bool = False
) -> Raw:
    raw = {"task": task, "args": list(args), "kwargs": kwargs, "options": options}
    return raw | {"subtask_type": kind, "immutable": immutable}


def _chained(steps: list[Raw]) -> Raw:
    """Return steps as a canvas that Celery prepares when it sends it."""
    return steps[0] if len(steps) == 1 else _raw("celery.chain", {"tasks": steps}, {}, "chain")


def _joined(steps: list[Raw]) -> Raw:
    """Return the first step as Celery sends it, with the others as the rest of its chain."""
    first, *rest = steps
    if not rest:
        return first
    return first | {"options": first["options"] | {"chain": list(reversed(rest))}}


def _with_member(steps: list[Raw], member: Raw | None) -> list[Raw]:
    """Return steps of which the last is a member of a header that has started."""
    if not member:
        return steps
    *others, last = steps
    if last["subtask_type"] == "group":
        raise LeftError("a group that has started has no form in Celery")
    if last["subtask_type"] == "chord":
        (body,) = _with_member([last["kwargs"]["body"]], member)
        return [*others, last | {"kwargs": last["kwargs"] | {"body": body}}]
    return [*others, last | {"options": last["options"] | member}]


def _time(ms: str | None) -> str | None:
    return iso(int(ms)) if ms else None
