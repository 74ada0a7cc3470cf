"""What a canvas comes to: the tasks and joins of a workflow, and what follows what.

Invariant: a plan is complete. Whatever can happen to a workflow, success or failure of each task, is settled
by its plan and by the results alone, so that Redis can go on by itself, in the step that ends a task.

A node is a task, or a join, which collects the results of the members of a group. An edge says where a
result goes:

    [START, n]      task n gets it
    [JOIN, n]       all members of join n get it
    [PART, n, i]    it is member i's result of join n
    [INHERITED]     where the result of the task goes that the plan replaces
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from taskiq import AsyncBroker, BrokerMessage, TaskiqMessage, TaskiqMiddleware
from taskiq.kicker import AsyncKicker
from taskiq.utils import maybe_awaitable

from .canvas import Chain, Chord, Chunks, Group, Signature, is_empty, listed, signature, unrolled
from .messages import moment

INHERITED, START, JOIN, PART, ERRBACK = range(5)
Edge = list[int]
Receives = Literal["result", "failure", None]

OPTIONS = {"task_id", "queue", "countdown", "eta", "expires", "link", "link_error"}
WITHOUT_EFFECT = {"ignore_result", "retry", "retry_policy", "serializer", "compression", "add_to_parent"}
"""Options of Celery's that say how it sends, or keeps a result: nothing is lost without them."""
REFUSED = {"priority", "routing_key", "exchange", "headers", "shadow", "time_limit", "soft_time_limit"}
"""Options of Celery's that change what happens, and that TaskIQ cannot keep."""

RESULT, ID, FAILED = "\x00result\x00", "\x00id\x00", "\x00failed\x00"
"""What stands in a message for what is not known yet."""


OF_REPLACED = Signature("")
"""Stands for the error callbacks of the task that a plan replaces."""


@dataclass
class Node:
    """A task or a join.

    Attributes:
        id: the task's id; of a join the group's.
        name: the task's name; of a join `group` if its list is somebody's result, else empty.
        next: where the result goes.
        errbacks: what runs if it fails (of a chord's header: if its body cannot run): [ERRBACK, n] for the
            errback n of the plan, or an edge.
        main: whether the workflow's result depends on it.
        entries: of a join: how its members start.
        call: of a task: its signature, ready to send.
        receives: of a task: what it takes of what starts it: its result, what failed, or nothing.
        labels: of a task: further labels of its message.
    """

    id: str
    name: str
    next: list[Edge]
    main: bool
    errbacks: list[Edge] = field(default_factory=list)
    entries: list[Edge] | None = None
    call: Signature | None = None
    receives: Receives = None
    labels: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """How a part of a canvas is started.

    Attributes:
        args: positional arguments that go before its own.
        kwargs: keyword arguments that replace its own.
        options: options that replace its own.
        id: the id of its result, if it states none.
        receives: what comes in: the result of another task, what failed, or nothing.
        main: whether the workflow's result depends on it.
        labels: further labels of its last task.
        step: whether it is a step of a chain.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None
    receives: Receives = None
    main: bool = True
    labels: Mapping[str, Any] = field(default_factory=dict)
    step: bool = False


class Plan:
    """The nodes of a canvas.

    Attributes:
        nodes: tasks and joins; edges name them by their place.
        errbacks: error callbacks that several nodes share.
        entries: where it starts.
        final: id of the node that has the result of the whole.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.errbacks: list[Signature] = []
        self.entries: list[Edge] = []
        self.final = ""

    @classmethod
    def of(
        cls,
        canvas: Signature,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> "Plan":
        """Return the plan of a canvas that is started with these arguments and options.

        Raises:
            ValueError: it has a chord without a body, or with an empty one.
        """
        plan = cls()
        given = {name: value for name, value in (options or {}).items() if value is not None}
        task_id = given.pop("task_id", None)
        plan._enter(canvas, [], Call(tuple(args), kwargs or {}, given, task_id))
        return plan

    @classmethod
    def replacing(cls, canvas: Signature, task_id: str) -> "Plan":
        """Return the plan of what takes a running task's place (celery/app/task.py, `Task.replace`).

        Its result is the result of the task, and goes where that would go; its tasks have the error
        callbacks of the task as well as their own.
        """
        plan = cls()
        taker = canvas.clone()
        taker.options.pop("task_id", None)
        if not isinstance(taker, Group):
            taker.link_error(OF_REPLACED)
        plan._enter(taker, [[INHERITED]], Call(id=task_id))
        return plan

    @classmethod
    def joining(cls, canvas: Signature) -> "Plan":
        """Return the plan of a further member of the header to which the running task belongs."""
        plan = cls()
        plan._enter(canvas, [[INHERITED]], Call())
        return plan

    def _enter(self, canvas: Signature, then: list[Edge], call: Call) -> None:
        self.entries = self._add(canvas, then, call)
        if not self.final:
            self.final = call.id or str(uuid.uuid4())

    def _add(self, canvas: Signature, then: list[Edge], call: Call) -> list[Edge]:
        """Add a canvas whose result goes to `then`; return how it starts, nothing if it is empty."""
        match canvas:
            case Chain():
                return self._add_chain(canvas, then, call)
            case Chunks():
                return self._add_group(canvas.group(), then, call)
            case Group():
                return self._add_group(canvas, then, call)
            case Chord():
                return self._add_chord(canvas, then, call)
        return self._add_task(canvas, then, call)

    def _add_task(self, canvas: Signature, then: list[Edge], call: Call) -> list[Edge]:
        task = canvas.clone(call.args, call.kwargs, **call.options)
        place, node = self._place(
            Node(
                id=task.options.get("task_id") or call.id or str(uuid.uuid4()),
                name=task.task,
                next=[],
                main=call.main,
                call=task,
                receives=None if task.immutable else call.receives,
                labels=dict(call.labels),
            ),
            then,
        )
        aside = Call(receives="result", main=False)
        for link in listed(task.options.get("link")):
            node.next += self._add(_fresh(signature(link)), [], aside)
        node.next += then
        node.errbacks = self._errbacks(task)
        return [[START, place]]

    def _add_chain(self, canvas: Chain, then: list[Edge], call: Call) -> list[Edge]:
        options = {**canvas.options, **call.options}
        steps = [step for step in self._steps(canvas) if not is_empty(step)] or canvas.tasks[:1]
        links, errbacks = listed(options.pop("link", None)), listed(options.pop("link_error", None))
        task_id = options.pop("task_id", None) or call.id
        for step in steps if errbacks else ():
            for errback in errbacks:
                _link_error(step, errback, last=step is steps[-1])
        for link in links if steps else ():
            # The members of a group have the chain's callbacks each; `Group.link` has them once.
            for last in steps[-1].tasks if isinstance(steps[-1], Group) else steps[-1:]:
                last.link(link)
        edges = then
        for step in reversed(steps):
            step_call = Call(receives="result", main=call.main, step=True)
            if step is steps[-1]:
                step_call = replace(step_call, id=task_id, labels=call.labels)
            if step is steps[0]:
                args, kwargs = ((), {}) if canvas.immutable else ((*call.args, *canvas.args), call.kwargs)
                receives = None if canvas.immutable else call.receives
                step_call = replace(step_call, args=args, kwargs=kwargs, options=options, receives=receives)
            edges = self._add(step, edges, step_call)
        return edges if steps else []

    def _steps(self, canvas: Chain) -> list[Signature]:
        """Return copies of a chain's steps, without chains or groups of one among them."""
        steps: list[Signature] = []
        for step in canvas.clone().tasks:  # type: ignore[attr-defined]
            step = unrolled(step)
            if isinstance(step, Chain):
                steps += self._steps(Chain(step.unchained()))
            else:
                steps.append(step)
        return steps

    def _add_group(self, canvas: Group, then: list[Edge], call: Call) -> list[Edge]:
        options = {**canvas.options, **call.options}
        group_id = options.pop("task_id", None) or call.id
        members = _members(canvas.tasks)
        if not then and not call.receives and len(members) == 1 and _ends_in_group(members[0]):
            # As celery/canvas.py, `group.apply_async`, has it: the inner group's list is the result.
            return self._add(members[0], then, replace(call, options=options))
        # What waits for the list of a group that ends a workflow, or a replaced task, looks for a result.
        named = not then or then[0][0] in (INHERITED, PART)
        return self._add_join(members, then, replace(call, id=group_id, options=options), named)

    def _add_chord(self, canvas: Chord, then: list[Edge], call: Call) -> list[Edge]:
        if canvas.body is None:
            raise ValueError(f"{canvas!r} has no body")
        options = {**canvas.options, **call.options}
        body = canvas.body.clone()
        for link in listed(options.pop("link", None)):
            body.link(link)
        for errback in listed(options.pop("link_error", None)):
            body.link_error(errback)
        options.pop("task_id", None)
        delay = {name: options.pop(name) for name in ("countdown", "eta") if name in options}
        body.options.update(options)
        ends = self._add(body, then, Call(id=call.id, receives="result", main=call.main, labels=call.labels))
        if not ends:
            raise ValueError(f"{canvas!r} has an empty body")
        args, kwargs = ((), {}) if canvas.immutable else ((*call.args, *canvas.args), call.kwargs)
        header = replace(
            call,
            args=args,
            kwargs={**canvas.kwargs, **kwargs},
            options=options | delay,
            id=None,
            receives=None if canvas.immutable else call.receives,
            labels={},
        )
        # A chain as body has only its own callbacks then (celery/backends/base.py, `chord_error_from_stack`),
        # unless the chord is a step of a chain, which takes it apart (celery/canvas.py, `_unroll_body`).
        errbacks = self._errbacks(body) if isinstance(body, Chain) and not call.step else None
        return self._add_join(_members(canvas.tasks), ends, header, False, errbacks)

    def _add_join(
        self,
        members: list[Signature],
        then: list[Edge],
        call: Call,
        named: bool,
        errbacks: list[Edge] | None = None,
    ) -> list[Edge]:
        group_id = call.id or str(uuid.uuid4())
        name = "group" if named else ""
        if named:
            # A group that takes a task's place has the callbacks of the task, not its members.
            errbacks = [[INHERITED]] if then == [[INHERITED]] else []
        elif errbacks is None:
            errbacks = self.nodes[then[0][1]].errbacks if then[0][0] == START else []
        place, join = self._place(Node(group_id, name, list(then), call.main, errbacks, []), then)
        labels = {"group_id": group_id} | ({} if named else {"chord": True})
        assert join.entries is not None
        for member in members:
            part = [PART, place, len(join.entries)]
            join.entries += self._add(member, [part], replace(call, id=None, labels=labels))
        return [[JOIN, place]]

    def _place(self, node: Node, then: list[Edge]) -> tuple[int, Node]:
        self.nodes.append(node)
        if node.main and (not then or then[0] == [INHERITED]):
            self.final = node.id
        return len(self.nodes) - 1, node

    def _errbacks(self, task: Signature) -> list[Edge]:
        found: list[Edge] = []
        for errback in listed(task.options.get("link_error")):
            errback = signature(errback)
            if errback == OF_REPLACED:
                found.append([INHERITED])
            elif errback.kind or errback.options.get("link") or errback.options.get("link_error"):
                found += self._add(_fresh(errback), [], Call(receives="failure", main=False))
            else:
                if errback not in self.errbacks:
                    self.errbacks.append(errback)
                found.append([ERRBACK, self.errbacks.index(errback)])
        return found

    async def as_data(self, broker: AsyncBroker) -> dict[str, Any]:
        """Return the plan as the scripts read it (`lua_workflows`), its messages included.

        Args:
            broker: knows the tasks, and the middlewares that prepare messages.

        Raises:
            TypeError: an argument cannot be sent as JSON.
        """
        nodes = [
            [
                node.id,
                node.name,
                node.next,
                node.errbacks,
                int(node.main),
                *([len(node.entries or ())] if node.call is None else []),
            ]
            for node in self.nodes
        ]
        templates = [
            node.entries if node.call is None else await _template(broker, node) for node in self.nodes
        ]
        errbacks = [await _errback_template(broker, errback) for errback in self.errbacks]
        return {
            "nodes": nodes,
            "templates": templates,
            "errbacks": errbacks,
            "entries": self.entries,
            "final": self.final,
        }


def _link_error(step: Signature, errback: Signature, last: bool) -> None:
    """Link an error callback of a chain to one of its steps (celery/canvas.py, `prepare_steps`)."""
    if not isinstance(step, Group):
        step.link_error(errback)
    elif not last:
        # The members of a group that is followed by a task are a chord's header.
        for member in step.tasks:
            if isinstance(member, Chord):
                member.link_error(errback)
    elif errback != OF_REPLACED:
        step.link_error(errback)


def _members(tasks: Sequence[Signature]) -> list[Signature]:
    """Return the members of a group, those of groups in it included; an empty chain is none."""
    members: list[Signature] = []
    for task in tasks:
        if isinstance(task, Chunks):
            task = task.group()
        if isinstance(task, Group):
            members += _members(task.tasks)
        elif not (isinstance(task, Chain) and not task.tasks):
            members.append(task)
    return members


def _ends_in_group(member: Signature) -> bool:
    """Tell whether the result of a group's member is the list of another group."""
    if isinstance(member, Chord):
        return isinstance(member.body, Group) or (member.body is not None and _ends_in_group(member.body))
    if not isinstance(member, Chain):
        return False
    steps = [step for step in member.tasks if not is_empty(step)]
    last = unrolled(steps[-1]) if steps else member
    return isinstance(last, Group) or (last is not member and _ends_in_group(last))


def _fresh(link: Signature) -> Signature:
    """Return a callback without an id: it runs once for each task that it is linked to."""
    link.options.pop("task_id", None)
    return link


async def _template(broker: AsyncBroker, node: Node) -> list[str]:
    """Return queue, beginning and end of a task's message, due time and end; the result goes between."""
    assert node.call is not None
    call = node.call
    args = (RESULT, *call.args) if node.receives == "result" else call.args
    failed = FAILED if node.receives == "failure" else None
    text = (await message_of(broker, call, node.id, args, node.labels, failed)).message.decode()
    before, found, after = text.partition(f'"{_escaped(failed or RESULT)}"')
    return [*_sending(broker, call), before, after if found else ""]


async def _errback_template(broker: AsyncBroker, errback: Signature) -> list[str]:
    """Return the same for an error callback; its id, and what failed, go between."""
    failed = None if errback.immutable else FAILED
    text = (await message_of(broker, errback, ID, errback.args, {}, failed)).message.decode()
    before, _, rest = text.partition(_escaped(ID))
    middle, found, after = rest.partition(f'"{_escaped(FAILED)}"')
    return [*_sending(broker, errback), before, middle, after if found else ""]


def _sending(broker: AsyncBroker, call: Signature) -> list[str]:
    options = call.options
    queue = options.get("queue") or getattr(broker, "queues", ("",))[0]
    # A countdown of 0 does not count (celery/app/amqp.py, `as_task_v2`).
    return [
        str(queue),
        moment(options.get("countdown") or options.get("eta")),
        moment(options.get("expires")),
    ]


async def message_of(
    broker: AsyncBroker,
    call: Signature,
    task_id: str,
    args: Sequence[Any],
    labels: Mapping[str, Any],
    failed: Any = None,
) -> BrokerMessage:
    """Return the message of a call.

    Args:
        broker: knows the task, and the middlewares that prepare messages.
        call: the call.
        task_id: the task's id.
        args: its positional arguments.
        labels: further labels.
        failed: what failed, for an error callback.

    Raises:
        TypeError: an argument cannot be sent as JSON.
        ValueError: it has an option that cannot be kept.
    """
    if refused := sorted(call.options.keys() & REFUSED):
        raise ValueError(f"{call!r}: there is no option {', '.join(refused)} here")
    task = broker.find_task(call.task)
    own = {name: value for name, value in call.options.items() if name not in OPTIONS | WITHOUT_EFFECT}
    kicker: AsyncKicker[..., Any] = AsyncKicker(
        call.task, broker, {**(task.labels if task else {}), **own, **labels}
    )
    message: TaskiqMessage = kicker.with_task_id(task_id)._prepare_message(*args, **call.kwargs)
    if failed is not None:
        message.labels["failed"] = failed
    for middleware in broker.middlewares:
        if middleware.__class__.pre_send != TaskiqMiddleware.pre_send:
            message = await maybe_awaitable(middleware.pre_send(message))
    return broker.formatter.dumps(message)


def _escaped(placeholder: str) -> str:
    return placeholder.replace("\x00", "\\u0000")
