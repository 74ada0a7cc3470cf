"""From Celery's messages to plans: what is in flight, with all that is to follow.

Invariant: a unit is what must move together: one message, or all messages of a chord, of the chords in its
header, and of the chord that its body belongs to. It becomes one plan, in which what has ended has ended.
Every task keeps the id that Celery gave it.
"""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from taskiq import AsyncBroker

from .canvas import CELERY_NAMES, Chain, Signature, signature
from .errors import WorkerLostError
from .plans import PART, START, Call, Edge, Node, Plan
from .results import error_result
from .transfer_celery import DEFAULT_QUEUE, CeleryMessage, CeleryRedis, Chord, Raw
from .transfer_results import failed

NOT_KEPT = {
    *("priority", "routing_key", "exchange", "exchange_type", "shadow", "headers"),
    *("time_limit", "soft_time_limit", "delivery_mode", "immediate", "mandatory"),
}
"""Options of later steps that have no meaning on TaskIQ: the transport's, and limits, which the task has."""


BODY = Call(receives="result")


class LeftError(Exception):
    """A unit cannot be moved; says why."""


# What Celery's signatures say. A signature that Celery was about to send may carry the rest of its chain.


def after(raw: Raw) -> list[Raw]:
    """Return the steps that follow a signature, in order."""
    return list(reversed((raw.get("options") or {}).get("chain") or []))


def last_of(raw: Raw) -> Raw:
    """Return the signature whose result is the result of this one."""
    if rest := after(raw):
        return last_of(rest[-1])
    if raw.get("subtask_type") == "chord":
        return last_of(raw["kwargs"]["body"])
    if raw.get("subtask_type") == "chain":
        return last_of(raw["kwargs"]["tasks"][-1])
    return raw


def weight(raw: Raw) -> int:
    """Return for how many members of a chord's header its end counts (celery/canvas.py, `_descend`)."""
    last = last_of(raw)
    if last.get("subtask_type") != "group":
        return 1
    return sum(map(weight, last["kwargs"]["tasks"]))


def whole(raw: Raw) -> Signature:
    """Return a signature with all that follows it."""
    own = _kept(signature(raw))
    rest = [_kept(signature(step)) for step in after(raw)]
    return Chain([own, *rest]) if rest else own


def _kept(canvas: Signature) -> Signature:
    parts: list[Any] = [*getattr(canvas, "tasks", ()), getattr(canvas, "body", None)]
    parts += [*(canvas.options.get("link") or ()), *(canvas.options.get("link_error") or ())]
    for part in parts:
        if isinstance(part, Signature):
            _kept(part)
    canvas.options = {name: value for name, value in canvas.options.items() if name not in NOT_KEPT}
    if canvas.options.get("queue") == DEFAULT_QUEUE:
        del canvas.options["queue"]
    return canvas


@dataclass(frozen=True)
class Membership:
    """Which member of which chord's header something is: group, place in it, the chord's body."""

    group: str
    index: float
    body: Raw


def membership_of(raw: Raw) -> Membership | None:
    """Return to which header the end of a signature belongs."""
    last = last_of(raw)
    if last.get("subtask_type") == "group":
        # Its own options may name another group: that of the header before it.
        return next(filter(None, map(membership_of, last["kwargs"]["tasks"])), None)
    options = last.get("options") or {}
    if not options.get("chord") or not options.get("group_id"):
        return None
    index = options.get("group_index")
    return Membership(options["group_id"], float("inf") if index is None else index, options["chord"])


def membership(message: CeleryMessage) -> Membership | None:
    """Return to which header a message, or the end of its chain, belongs."""
    if chain := message.embed.get("chain"):
        return membership_of(chain[0])
    own = {"group_id": message.headers.get("group"), "group_index": message.headers.get("group_index")}
    return membership_of({"options": own | {"chord": message.embed.get("chord")}})


def enclosing(found: Membership | None) -> Iterator[Membership]:
    """Yield a header, the header to which its chord belongs, and so on."""
    while found is not None:
        yield found
        found = membership_of(found.body)


class Chords:
    """The chords in flight, as Celery keeps them; each is looked up once."""

    def __init__(self, celery: CeleryRedis) -> None:
        self._celery = celery
        self._known: dict[str, Chord | None] = {}

    def of(self, found: Membership) -> Chord | None:
        """Return a header's chord; None if it has ended, so that its members are tasks like others.

        Raises:
            LeftError: nobody can tell.
        """
        group = found.group
        if group not in self._known:
            chord = self._known[group] = self._celery.chord(group)
            body = str(last_of(found.body)["options"].get("task_id"))
            if chord is None and not self._celery.chord_ended(group, body):
                del self._known[group]
                raise LeftError(f"chord {group} is being sent, or its state in Redis has expired")
        return self._known[group]

    def around(self, message: CeleryMessage) -> list[Membership]:
        """Return the headers in which a message is, from the inside to the outside."""
        return list(itertools.takewhile(self._may_go_on, enclosing(membership(message))))

    def _may_go_on(self, found: Membership) -> bool:
        try:
            return self.of(found) is not None
        except LeftError:
            return True


def units_of(messages: list[CeleryMessage], chords: Chords) -> list[list[CeleryMessage]]:
    """Return messages by what must move together, in the order of the first of each."""
    by_group: dict[str, list[CeleryMessage]] = {}
    units: list[list[CeleryMessage]] = []
    for message in messages:
        headers = chords.around(message)
        # The outermost chord names the unit.
        unit = by_group.get(headers[-1].group) if headers else None
        if unit is None:
            unit = []
            units.append(unit)
            if headers:
                by_group[headers[-1].group] = unit
        unit.append(message)
    return units


class Translation:
    """One unit as one plan.

    Parameters:
        unit: its messages.
        chords: the chords.
        broker: knows tasks and queues.
        end_incomplete: whether a chord that lacks members fails, instead of being left.
    """

    def __init__(
        self, unit: list[CeleryMessage], chords: Chords, broker: AsyncBroker, end_incomplete: bool
    ) -> None:
        self._unit = unit
        self._chords = chords
        self._broker = broker
        self._end_incomplete = end_incomplete
        self._plan = Plan()
        self._joins: dict[str, Join] = {}
        self._starts: list[list[Any]] = []

    @property
    def groups(self) -> list[str]:
        """The ids of the chords in it."""
        return list(self._joins)

    async def data(self) -> dict[str, Any]:
        """Return the unit as `transfer_lua.PUT` reads it.

        Raises:
            LeftError: it cannot be moved.
        """
        for message in self._unit:
            self._add(message)
        self._check_tasks()
        for join in self._joins.values():
            join.settle(self._end_incomplete)
        try:
            plan = await self._plan.as_data(self._broker)
        except (TypeError, ValueError) as error:
            raise LeftError(str(error)) from None
        return {
            "id": self._plan.final,
            "alone": len(plan["nodes"]) == 1 and not plan["errbacks"],
            "plan": plan,
            "joins": [place for join in self._joins.values() for place in join.places],
            "starts": self._starts,
            "done": [part for join in self._joins.values() for part in join.done],
            "root": self._unit[0].headers.get("root_id"),
            "ids": [node.id for node in self._plan.nodes if node.call is not None],
        }

    def _join(self, found: Membership) -> "Join | None":
        """Return the join of a header; None if its chord has ended."""
        chord = self._chords.of(found)
        if chord is None:
            return None
        if found.group not in self._joins:
            body = whole(found.body)
            ends = self._plan._add(body, self._then(membership_of(found.body), found.body), BODY)
            # Celery looks at the signature itself (celery/backends/base.py, `chord_error_from_stack`).
            errbacks = self._plan._errbacks(signature(found.body)) if ends[0][0] == START else []
            self._joins[found.group] = Join(self._plan, found.group, ends, errbacks, chord)
        return self._joins[found.group]

    def _then(self, found: Membership | None, raw: Raw) -> list[Edge]:
        """Return where the result of a signature's end goes."""
        join = self._join(found) if found else None
        if join is None or found is None:
            return []
        return [join.part(str(last_of(raw)["options"]["task_id"]), found.index, weight(raw))]

    def _add(self, message: CeleryMessage) -> None:
        headers, embed = message.headers, message.embed
        chain = [*reversed(embed.get("chain") or ())]
        options = {
            "task_id": message.id,
            "eta": headers.get("eta"),
            "expires": headers.get("expires"),
            "queue": self._queue(message.queue),
            "_retries": headers.get("retries"),
            "group_id": headers.get("group"),
            "link": [whole(raw) for raw in embed.get("callbacks") or ()],
            "link_error": [whole(raw) for raw in embed.get("errbacks") or ()],
        }
        first = Signature(message.task, message.args, message.kwargs, {n: v for n, v in options.items() if v})
        first.task = CELERY_NAMES.get(first.task, first.task)
        found = membership(message)
        end = chain[-1] if chain else {"options": {"task_id": message.id}}
        if found and self._has_ended(found, end):
            self._join(found)
            return
        then = self._then(found, end)
        labels = {"group_id": found.group, "chord": True} if then and found else {}
        canvas = Chain([first, *map(whole, chain)]) if chain else first
        for _, place in self._plan._add(canvas, then, Call(labels=labels)):
            self._starts.append([place, headers.get("root_id"), headers.get("parent_id")])

    def _has_ended(self, found: Membership, end: Raw) -> bool:
        """Tell whether a member's result is there, and its worker had only not acknowledged the message."""
        chord = self._chords.of(found)
        task_id = last_of(end)["options"]["task_id"]
        return chord is not None and any(task_id == ended for ended, *_ in chord.results)

    def _queue(self, name: str | None) -> str | None:
        """Return the queue of a message or step here; None: the default one."""
        if name is None or name == DEFAULT_QUEUE:
            return None
        if name not in getattr(self._broker, "queues", (name,)):
            raise LeftError(f"no TaskIQ worker reads the queue {name} (TASKIQ_QUEUES)")
        return name

    def _check_tasks(self) -> None:
        for call in [node.call for node in self._plan.nodes if node.call] + self._plan.errbacks:
            if self._broker.find_task(call.task) is None:
                raise LeftError(f"task {call.task} is not known here: name the module that defines it")
            self._queue(call.options.get("queue"))


class Join:
    """A chord's header in the plan, open: some members have ended, others are on their way.

    Attributes:
        places: its place in the plan, and those of the groups in it.
        done: the parts that have ended, as `transfer_lua.PUT` reads them.

    Parameters:
        plan: the plan.
        group: id of its group.
        then: where the list goes.
        errbacks: what runs if the body cannot.
        chord: how far Celery has come.
    """

    def __init__(self, plan: Plan, group: str, then: list[Edge], errbacks: list[Edge], chord: Chord) -> None:
        self._plan = plan
        self._group = group
        self._chord = chord
        self._coming: dict[str, tuple[float, Edge]] = {}
        self._ended = {task_id: (state, result) for task_id, state, result, _ in chord.results}
        self._size = len(self._ended)
        place, node = plan._place(Node(group, "", list(then), True, errbacks, []), then)
        self._node = node
        self.places = [place]
        self.done: list[list[Any]] = []

    def part(self, task_id: str, index: float, size: int) -> Edge:
        """Return the edge of the member that ends with this task; `settle` says which part it is."""
        edge = [PART, self.places[0], -1]
        self._coming[task_id] = (index, edge)
        self._size += size
        return edge

    def settle(self, end_incomplete: bool) -> None:
        """Give each member its place in the list.

        Raises:
            LeftError: members are missing, and that is not to be their end.
        """
        missing = self._chord.size - self._size
        if missing > 0 and not end_incomplete:
            raise LeftError(
                f"chord {self._group} lacks {missing} of {self._chord.size} members: a Celery worker runs "
                "them, or died over them; if no worker is left, --end-incomplete ends the chord with an error"
            )
        known = [(index, task_id) for task_id, (index, _) in self._coming.items()]
        known += [(index, task_id) for task_id, _, _, index in self._chord.results]
        flat = [task_id for _, task_id in sorted(known, key=lambda one: one[0])]
        place = self.places[0]
        if self._chord.structure is None:
            found = set(flat)
            flat += [f"missing {number}" for number in range(missing)]
        else:
            found = self._nest(self._chord.structure, place, self._node)
            # What tasks have added to their header is not in the structure.
            flat = [task_id for task_id in flat if task_id not in found]
        for task_id in flat:
            self._put(task_id, place, self._node)

    def _nest(self, structure: list[Any], place: int, node: Node) -> set[str]:
        """Give members their places as Celery has nested their results; return the ids that are in there."""
        found: set[str] = set()
        for (task_id, _), members in structure:
            found.add(task_id)
            if members is None or task_id in self._coming:
                self._put(task_id, place, node)
                continue
            edge = self._part_of(place, node)
            inner, group = self._plan._place(Node(task_id, "group", [edge], True, [], []), [edge])
            self.places.append(inner)
            found |= self._nest(members, inner, group)
        return found

    def _put(self, task_id: str, place: int, node: Node) -> None:
        edge = self._part_of(place, node)
        if task_id in self._coming:
            self._coming[task_id][1][1:] = edge[1:]
        else:
            state, result = self._ended.get(task_id, ("FAILURE", LOST))
            good = state == "SUCCESS"
            text = json.dumps(result) if good else failed(result)
            self.done.append([*edge[1:], task_id, "ok" if good else "error", text])

    def _part_of(self, place: int, node: Node) -> Edge:
        assert node.entries is not None
        edge = [PART, place, len(node.entries)]
        node.entries.append(edge)
        return edge


LOST = json.loads(error_result(WorkerLostError("a Celery worker died while it ran this task")))["error"]
