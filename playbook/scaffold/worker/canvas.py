"""Canvases: signatures, and the chains, groups and chords that are built of them, with Celery's meaning.

    chain(resize.s(path), upload.s()) | notify.si(user)
    chord([count.s(page) for page in pages], total.s())

Invariant: a canvas is plain data. It becomes JSON and back without a loss; building one, or joining two with
`|`, changes neither; what it is turned into when two are joined is what Celery 5.7 turns it into
(celery/canvas.py: `Signature.__or__`, `_chain.__or__`, `_merge_chain_step`, `group.__or__`, `chord.__or__`).
"""

import operator
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from functools import reduce
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from .sent import Handle

MAP, STARMAP = "workflow.map", "workflow.starmap"
"""Names of the tasks that apply another task to each item of a list."""

CELERY_NAMES = {"celery.map": MAP, "celery.starmap": STARMAP}
CELERY_KINDS = {"celery.chunks": "chunks"}
"""Celery's own tasks, and canvases that it does not mark as such, in signatures that Celery made."""

FROZEN = {
    *("chain", "chord", "group_id", "group_index", "parent_id", "root_id", "reply_to"),
    *("replaced_task_nesting", "stamped_headers"),
}
"""Options that Celery writes into a signature when it prepares to send it."""


class Signature:
    """A call of a task, to be made later.

    Attributes:
        task: name of the task.
        args: positional arguments; a result that is passed on comes before them.
        kwargs: keyword arguments.
        options: `task_id`, `queue`, `countdown` (s), `eta`, `expires` (s or time), `link`, `link_error`;
            others become labels of the message.
        immutable: takes no results of others.
    """

    kind: str | None = None

    def __init__(
        self,
        task: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        immutable: bool = False,
    ) -> None:
        """Create a signature of a task, or of the task of a name."""
        self.task: str = getattr(task, "task_name", task)
        self.args = tuple(args)
        self.kwargs = dict(kwargs or {})
        self.options = dict(options or {})
        self.immutable = immutable

    # Calling

    async def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> "Handle":
        """Start it.

        Args:
            args: go before the arguments of the first task, of a group's members, of a chord's header.
            kwargs: replace theirs.
            options: see `Signature`. Of a chain they are those of the first task, but `task_id`, the last
                one's; of a group its members'; of a chord also its body's, but for `countdown` and `eta`.

        Returns:
            Its result: of a chain the last task's, of a group the list of its members'.

        Raises:
            TypeError: an argument cannot be sent as JSON.
            ValueError: it cannot be run, as a chord without a body.
            redis.exceptions.RedisError: Redis cannot be reached.
        """
        from .workflow import launch

        return await launch(self, args or (), kwargs or {}, options)

    async def delay(self, *args: Any, **kwargs: Any) -> "Handle":
        """Start it; see `apply_async`."""
        return await self.apply_async(args, kwargs)

    def apply_async_sync(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> "Handle":
        """Start it, from synchronous code; see `apply_async`."""
        from .workflow import launch_sync

        return launch_sync(self, args or (), kwargs or {}, options)

    def delay_sync(self, *args: Any, **kwargs: Any) -> "Handle":
        """Start it, from synchronous code; see `apply_async`."""
        return self.apply_async_sync(args, kwargs)

    # Building

    def clone(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> "Signature":
        """Return a copy with further arguments and options; an immutable one takes no arguments."""
        copy = deepcopy(self)
        if not self.immutable:
            copy.args = (*args, *copy.args)
            copy.kwargs.update(kwargs or {})
        copy.options.update(options)
        return copy

    def set(self, immutable: bool | None = None, **options: Any) -> "Signature":
        """Set options; return itself."""
        if immutable is not None:
            self.set_immutable(immutable)
        self.options.update(options)
        return self

    def set_immutable(self, immutable: bool) -> None:
        """Say whether it takes results of others."""
        self.immutable = immutable

    def link(self, callback: "Signature") -> "Signature":
        """Run `callback` with the result, if there is one; return `callback`."""
        return self._add("link", callback)

    def link_error(self, errback: "Signature") -> Any:
        """Run `errback` if the task fails; return `errback`.

        A task with one parameter gets the id of the failed task; one with three its request, the error and
        the traceback.
        """
        return self._add("link_error", errback)

    def on_error(self, errback: "Signature") -> "Signature":
        """Run `errback` if it fails; return itself."""
        self.link_error(errback)
        return self

    def __or__(self, other: Any) -> "Signature":
        """Return a chain: this, then the other."""
        if not isinstance(other, Signature):
            return NotImplemented
        if isinstance(other, Chain):
            return Chain([deepcopy(self), *other.unchained()])
        return Chain([deepcopy(self), deepcopy(unrolled(other))])

    def _add(self, option: str, signature: "Signature") -> "Signature":
        present = self.options[option] = listed(self.options.get(option))
        if signature not in present:
            present.append(signature)
        return signature

    # As data

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can express it, in the form that Celery's signatures have."""
        options = {
            name: [link.as_dict() for link in listed(value)] if name in ("link", "link_error") else value
            for name, value in self.options.items()
        }
        return {
            "task": self.task,
            "args": list(self.args),
            "kwargs": self.kwargs,
            "options": options,
            "subtask_type": self.kind,
            "immutable": self.immutable,
        }

    def __json__(self) -> dict[str, Any]:
        return self.as_dict()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Signature) and self.as_dict() == other.as_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.kwargs.items())]
        return f"{self.task}({', '.join(shown)})"


class Chain(Signature):
    """Tasks one after the other, each with the result of the one before. Make one with `chain`."""

    kind = "chain"

    def __init__(self, tasks: Iterable[Signature], options: Mapping[str, Any] | None = None) -> None:
        """Create a chain of these, as they are."""
        super().__init__("workflow.chain", options=options)
        self.tasks = list(tasks)

    def unchained(self) -> list[Signature]:
        """Return copies of the steps, with the chain's own callbacks where they belong."""
        steps = deepcopy(self.tasks)
        for callback in listed(self.options.get("link")) if steps else []:
            steps[-1].link(callback)
        for errback in listed(self.options.get("link_error")):
            for step in steps:
                step.link_error(errback)
        return steps

    def __or__(self, other: Any) -> Signature:
        if not isinstance(other, Signature):
            return NotImplemented
        other = unrolled(other)
        if isinstance(other, Chain):
            return reduce(operator.or_, other.unchained(), self)
        if is_empty(other):
            return self
        if not self.tasks and isinstance(other, Group) and len(other.tasks) > 1:
            return other
        merges = _merges(self.tasks, other)
        steps = deepcopy(self.tasks) if merges else self.unchained()
        return Chain(_joined(steps, deepcopy(other)), self.options if merges else {})

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | {"kwargs": {"tasks": [task.as_dict() for task in self.tasks]}}

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.tasks)) or "chain()"


class Group(Signature):
    """Tasks side by side; the result is the list of theirs, in order."""

    kind = "group"

    def __init__(self, *tasks: Any, **options: Any) -> None:
        """Create a group of signatures, or of the signatures in one iterable."""
        super().__init__("workflow.group", options=options)
        first: Any = tasks[0] if len(tasks) == 1 else tasks
        if isinstance(first, Group):
            first = first.tasks
        self.tasks: list[Signature] = list(map(signature, [first] if isinstance(first, Signature) else first))

    def set_immutable(self, immutable: bool) -> None:
        for task in self.tasks:
            task.set_immutable(immutable)

    def link(self, callback: Signature) -> Signature:
        """Run `callback` after the first member, without its result: no member has the list."""
        if not self.tasks:
            raise ValueError("an empty group has no member to link to")
        return self.tasks[0].link(callback.clone().set(immutable=True))

    def link_error(self, errback: Signature) -> Any:
        """Run `errback` for each member that fails."""
        return tuple(task.link_error(errback.clone()) for task in self.tasks)

    def __or__(self, other: Any) -> Signature:
        if not isinstance(other, Signature):
            return NotImplemented
        return self if is_empty(other) else Chord(self, other)

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | {"kwargs": {"tasks": [task.as_dict() for task in self.tasks]}}

    def __repr__(self) -> str:
        return f"group({', '.join(map(repr, self.tasks))})"


class Chord(Signature):
    """A group (the header) and what runs with the list of its results (the body)."""

    kind = "chord"

    def __init__(self, header: Any, body: Signature | None = None, **options: Any) -> None:
        """Create a chord of a group, of one signature or of an iterable of them, and its body."""
        super().__init__("workflow.chord", options=options)
        if isinstance(header, Mapping):
            header = signature(header)
        if isinstance(header, (Group, Chain)):
            header = header.tasks
        elif isinstance(header, Signature):
            header = [header]
        self.tasks = [signature(task) for task in header]
        self.body = None if body is None else signature(body)

    async def __call__(self, body: Signature | None = None, **options: Any) -> "Handle":
        """Start it, with this body if one is given."""
        called = self.clone()
        called.body = self.body if body is None else signature(body)  # type: ignore[attr-defined]
        return await called.apply_async(**options)

    def set_immutable(self, immutable: bool) -> None:
        """Say whether the members of the header take results; the body is not touched."""
        for task in self.tasks:
            task.set_immutable(immutable)

    def link(self, callback: Signature) -> Signature:
        """Run `callback` with the body's result."""
        return self._body().link(callback)

    def link_error(self, errback: Signature) -> Any:
        """Run `errback` if the body fails, or cannot run because a member of the header failed."""
        for task in self.tasks:
            if isinstance(task, Chord):
                task.link_error(errback)
        self._body().link_error(errback)
        return errback

    def __or__(self, other: Any) -> Signature:
        if not isinstance(other, Signature):
            return NotImplemented
        if isinstance(other, Chain) or isinstance(unrolled(other), Group):
            return super().__or__(other)
        other = unrolled(other)
        copy = deepcopy(self)
        copy.body = copy._body() | other
        return copy

    def _body(self) -> Signature:
        if self.body is None:
            raise ValueError(f"{self!r} has no body")
        return self.body

    def as_dict(self) -> dict[str, Any]:
        header = [task.as_dict() for task in self.tasks]
        body = None if self.body is None else self.body.as_dict()
        return super().as_dict() | {"kwargs": {"header": header, "body": body, "kwargs": self.kwargs}}

    def __repr__(self) -> str:
        return f"chord([{', '.join(map(repr, self.tasks))}], {self.body!r})"


class Chunks(Signature):
    """A task over a list, in parts of `n` items; each part runs in one task."""

    kind = "chunks"

    def __init__(
        self, task: Any, it: Iterable[Any], n: int, options: Mapping[str, Any] | None = None
    ) -> None:
        """Create chunks; an item is the list of a call's arguments."""
        super().__init__("workflow.chunks", options=options, immutable=True)
        self.kwargs = {"task": signature(task).as_dict(), "it": list(it), "n": n}

    def group(self) -> Group:
        """Return the parts as a group."""
        items, n = self.kwargs["it"], self.kwargs["n"]
        parts = [items[start : start + n] for start in range(0, len(items), n)]
        return Group([starmap(self.kwargs["task"], part) for part in parts], **self.options)


group, chord, chunks = Group, Chord, Chunks


def chain(*tasks: Any) -> Signature:
    """Return the chain of signatures, or of the signatures in one iterable.

    As under Celery the answer need not be a `Chain`: a group at its beginning, followed by a task, makes
    a chord.
    """
    if len(tasks) == 1 and not isinstance(tasks[0], Signature):
        tasks = tuple(tasks[0])
    elif len(tasks) == 1:
        return Chain([tasks[0]])
    return reduce(operator.or_, map(signature, tasks), Chain([]))


def signature(varies: Any, *args: Any, **kwargs: Any) -> Signature:
    """Return a signature: of a task, of the task of a name, of its form as data, or a copy of one."""
    if isinstance(varies, Signature):
        return varies.clone()
    if not isinstance(varies, Mapping):
        return Signature(varies, *args, **kwargs)
    options = {name: v for name, v in (varies.get("options") or {}).items() if name not in FROZEN}
    for name in ("link", "link_error"):
        if options.get(name):
            options[name] = [signature(link) for link in listed(options[name])]
    return _made(varies, options)


def _made(data: Mapping[str, Any], options: dict[str, Any]) -> Signature:
    inner, name = data.get("kwargs") or {}, data["task"]
    made: Any
    match CELERY_KINDS.get(name) or data.get("subtask_type"):
        case "chain":
            made = Chain(map(signature, inner["tasks"]), options)
        case "group":
            made = Group(map(signature, inner["tasks"]), **options)
        case "chord":
            made = Chord(inner["header"], inner.get("body"), **options)
            made.kwargs = dict(inner.get("kwargs") or {})
        case "chunks":
            made = Chunks(inner["task"], inner["it"], inner["n"], options)
        case _:
            name = CELERY_NAMES.get(name, name)
            return Signature(name, data.get("args") or (), inner, options, bool(data.get("immutable")))
    made.args = tuple(data.get("args") or ())
    made.immutable = bool(data.get("immutable"))
    return cast(Signature, made)


def xmap(task: Any, it: Iterable[Any]) -> Signature:
    """Return a signature that calls a task with each item, one after the other, in one task."""
    return Signature(MAP, kwargs={"task": signature(task).as_dict(), "it": list(it)}, immutable=True)


def starmap(task: Any, it: Iterable[Any]) -> Signature:
    """Return a signature that calls a task with each item as its arguments; see `xmap`."""
    return Signature(STARMAP, kwargs={"task": signature(task).as_dict(), "it": list(it)}, immutable=True)


def listed(value: Any) -> list[Any]:
    """Return an option that is one thing, several or none as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def is_empty(signature: Signature) -> bool:
    """Tell whether it is a group without members."""
    return isinstance(signature, Group) and not signature.tasks


def unrolled(signature: Signature) -> Signature:
    """Return the member of a group that has only one; everything else as it is."""
    return signature.tasks[0] if isinstance(signature, Group) and len(signature.tasks) == 1 else signature


def _merges(steps: list[Signature], other: Signature) -> bool:
    """Tell whether `other` becomes part of the last step, as the body of a chord."""
    if not steps:
        return False
    other = unrolled(other)
    if isinstance(other, Group):
        return False
    last = steps[-1]
    return isinstance(last, Group) or (isinstance(last, Chord) and not isinstance(other, Chord))


def _joined(steps: list[Signature], other: Signature) -> list[Signature]:
    """Return the steps with one more, which the last may take in."""
    last = steps[-1] if steps else None
    if isinstance(last, Chord) and not isinstance(other, Chord):
        last.body = last._body() | other
        return steps
    if isinstance(last, Group) and not isinstance(other, Group):
        steps[-1] = Chord(last, other)
        if len(steps) > 1 and isinstance(before := steps[-2], Chord):
            before.body = before._body() | steps.pop()
        return steps
    return [*steps, other]
