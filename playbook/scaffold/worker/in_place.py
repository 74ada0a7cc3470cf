"""Workflows for a broker that runs tasks in place, as tests use it: no Redis, no worker.

Invariant: what runs, with which arguments, and what does not run after an error, is what `lua_workflows`
does; one task after the other, in the caller's loop.
"""

import json
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from taskiq import InMemoryBroker, NoResultError, TaskiqResult

from .canvas import Signature
from .errors import Ignore, IgnoredError, Reject, Replaced
from .plans import ERRBACK, INHERITED, JOIN, PART, START, Edge, Node, Plan, message_of
from .results import chord_error, dumps
from .running import running

Lineage = tuple[str | None, str | None]
"""Ids of a task's root and parent."""

endings: dict[str, NoResultError] = {}
"""How a task ended that has run in place and has no result, until it is looked at."""

joiners: dict[str, list[Signature]] = {}
"""The further members of its chord that a task has asked for, until they are looked at."""


def note(task_id: str, error: BaseException | None, added: list[Signature]) -> None:
    """Note what a task that has run in place leaves behind."""
    if isinstance(error, (Ignore, Reject, Replaced)):
        endings[task_id] = error
    if added:
        joiners[task_id] = added


class Failure:
    """Why something does not run: an error, and the task of a header that had it, if it was one."""

    def __init__(self, id: str, error: BaseException, silent: bool = False) -> None:
        self.id = id
        self.error = error
        self.silent = silent
        self.dependency: str | None = None
        self.called: set[int] = set()

    @property
    def shown(self) -> BaseException:
        """The error as a task has it that did not run."""
        return self.error if self.dependency is None else chord_error(self.dependency, self.error)


class InPlace:
    """A workflow while it runs."""

    def __init__(self, broker: InMemoryBroker) -> None:
        self.broker = broker
        self.nodes: list[Node] = []
        self.errbacks: list[Signature] = []
        self.states: list[str] = []
        self.parts: dict[int, dict[int, Any]] = {}
        self.sizes: dict[int, int] = {}
        self.ready: deque[tuple[int, Any, Lineage]] = deque()
        here = running.get()
        self.lineage: Lineage = (here.request.root_id, here.request.id) if here else (None, None)

    async def run(self, plan: Plan) -> None:
        """Run a plan to its end."""
        await self._follow(self._load(plan, None), None)
        while self.ready:
            await self._run(*self.ready.popleft())

    def _load(self, plan: Plan, heir: Node | None) -> list[Edge]:
        base, first = len(self.nodes), len(self.errbacks)

        def shifted(edges: list[Edge], inherited: list[Edge]) -> list[Edge]:
            found: list[Edge] = []
            for kind, *rest in edges:
                if kind == INHERITED:
                    found += inherited
                else:
                    found.append([kind, rest[0] + (first if kind == ERRBACK else base), *rest[1:]])
            return found

        for node in plan.nodes:
            node.next = shifted(node.next, heir.next if heir else [])
            node.errbacks = shifted(node.errbacks, heir.errbacks if heir else [])
            node.entries = None if node.entries is None else shifted(node.entries, [])
            self.nodes.append(node)
            self.states.append("w")
        self.errbacks += plan.errbacks
        return shifted(plan.entries, heir.next if heir else [])

    async def _send(
        self,
        call: Signature,
        id: str,
        args: Sequence[Any],
        labels: Mapping[str, Any],
        failed: Any,
        lineage: Lineage,
    ) -> None:
        told = {name: id for name, id in zip(("root_id", "parent_id"), lineage, strict=True) if id}
        await self.broker.kick(
            await message_of(self.broker, call, id, args, {**labels, "root_id": id, **told}, failed)
        )

    async def _run(self, k: int, value: Any, lineage: Lineage) -> None:
        node = self.nodes[k]
        assert node.call is not None
        args = (value, *node.call.args) if node.receives == "result" else node.call.args
        failed = value if node.receives == "failure" else None
        await self._send(node.call, node.id, args, node.labels, failed, lineage)
        self.lineage = lineage[0] or node.id, node.id
        ended = endings.pop(node.id, None)
        if isinstance(ended, Replaced):
            plan = Plan.replacing(ended.canvas, node.id)
            self.states[k] = "d"
            return await self._follow(self._load(plan, node), None)
        if isinstance(ended, Reject) and ended.requeue:
            return self.ready.append((k, value, lineage))
        if isinstance(ended, Reject):
            await self._store(node.id, ended)
            return await self._fail(k, Failure(node.id, ended))
        if not await self.broker.result_backend.is_result_ready(node.id):
            nothing = IgnoredError("the task ended without a result")
            return await self._fail(k, Failure(node.id, nothing, silent=True))
        found = await self.broker.result_backend.get_result(node.id)
        if found.is_err:
            assert found.error is not None
            await self._fail(k, Failure(node.id, found.error))
        else:
            await self._add_members(node)
            self.states[k] = "d"
            await self._follow(node.next, found.return_value)

    async def _add_members(self, node: Node) -> None:
        joins = [edge[1] for edge in node.next if edge[0] == PART]
        for canvas in joiners.pop(node.id, []):
            for k in joins:
                part = [PART, k, self.sizes[k]]
                self.sizes[k] += 1
                heir = Node(node.id, "", [part], node.main)
                await self._follow(self._load(Plan.joining(canvas), heir), None)

    async def _follow(self, edges: list[Edge], value: Any) -> None:
        for kind, k, *rest in edges:
            if kind == START and self.states[k] == "w":
                self.states[k] = "s"
                self.ready.append((k, value, self.lineage))
            elif kind == JOIN and self.states[k] == "w":
                await self._enter(k, value)
            elif kind == PART:
                await self._part(k, rest[0], value)

    async def _enter(self, k: int, value: Any) -> None:
        entries = self.nodes[k].entries or []
        self.states[k], self.parts[k], self.sizes[k] = "s", {}, len(entries)
        if not entries:
            return await self._finish(k)
        await self._follow(entries, value)

    async def _part(self, k: int, i: int, value: Any) -> None:
        if self.states[k] == "s":
            self.parts[k][i] = value
            if len(self.parts[k]) == self.sizes[k]:
                await self._finish(k)

    async def _finish(self, k: int) -> None:
        join = self.nodes[k]
        values = [value for _, value in sorted(self.parts[k].items())]
        failures = [value for value in values if isinstance(value, Failure)]
        failed = next((one for one in failures if not one.silent), failures[0] if failures else None)
        if failed is None:
            self.states[k] = "d"
            await self._store(join.id, values, named=bool(join.name))
            return await self._follow(join.next, values)
        self.states[k] = "f"
        if join.name:
            await self._store(join.id, failed.error)
            await self._call_errbacks(join, failed)
            return await self._skip(join.next, failed)
        for edge in join.next:
            if edge[0] == START:
                await self._fail_body(edge[1], join, failed)
            elif edge[0] == JOIN:
                await self._fail_members(edge[1], failed)

    async def _fail(self, k: int, failure: Failure) -> None:
        self.states[k] = "f"
        await self._call_errbacks(self.nodes[k], failure)
        await self._skip(self.nodes[k].next, failure)

    async def _fail_body(self, k: int, header: Node, failure: Failure) -> None:
        self.states[k] = "f"
        await self._store(self.nodes[k].id, failure.shown)
        await self._call_errbacks(replace(self.nodes[k], errbacks=header.errbacks), failure)
        await self._skip(self.nodes[k].next, failure)

    async def _fail_members(self, k: int, failure: Failure) -> None:
        join = self.nodes[k]
        self.states[k] = "x"
        for entry in join.entries or []:
            original = Failure(failure.id, failure.error, failure.silent)
            original.called = set(failure.called)
            if entry[0] == START and join.name:
                await self._call_errbacks(self.nodes[entry[1]], original)
            await self._skip([entry], original)
        await self._store(join.id, failure.error, named=bool(join.name))
        await self._skip(join.next, failure)

    async def _skip(self, edges: list[Edge], failure: Failure) -> None:
        for kind, k, *rest in edges:
            node = self.nodes[k]
            if kind == PART and self.states[k] == "s":
                part = Failure(failure.id, failure.error, failure.silent)
                part.dependency, part.called = failure.dependency or failure.id, failure.called
                await self._part(k, rest[0], part)
            elif kind != PART and self.states[k] == "w":
                self.states[k] = "x"
                await self._skip(node.entries or [], failure)
                await self._store(node.id, failure.shown, named=kind == START or bool(node.name))
                await self._skip(node.next, failure)

    async def _call_errbacks(self, node: Node, failure: Failure) -> None:
        if failure.silent:
            return
        result = dumps(_result(failure.error), b"null")
        call = node.call or Signature("group")
        about = {"id": node.id, "task": call.task, "args": list(call.args), "kwargs": call.kwargs}
        told = {"request": about, "dependency": failure.dependency, "result": json.loads(result)}
        for kind, k in node.errbacks:
            if kind != ERRBACK:
                await self._follow([[kind, k]], told)
            elif k not in failure.called:
                failure.called.add(k)
                errback = self.errbacks[k]
                own = None if errback.immutable else told
                after = self.lineage[0], node.id
                await self._send(errback, str(uuid.uuid4()), errback.args, {}, own, after)

    async def _store(self, id: str, outcome: Any, named: bool = True) -> None:
        if named:
            await self.broker.result_backend.set_result(id, _result(outcome))


def _result(outcome: Any) -> TaskiqResult[Any]:
    if isinstance(outcome, BaseException):
        return TaskiqResult(is_err=True, return_value=None, execution_time=0.0, error=outcome)
    return TaskiqResult(is_err=False, return_value=outcome, execution_time=0.0)


async def run_in_place(plan: Plan, broker: InMemoryBroker) -> None:
    """Run a plan, task by task, inside this call."""
    if not plan.entries:
        await broker.result_backend.set_result(plan.final, _result(None))
    await InPlace(broker).run(plan)
