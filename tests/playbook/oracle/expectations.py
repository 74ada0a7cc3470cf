"""What a random canvas must do on any system, worked out from its structure alone.

A canvas is a row of steps: tasks, and joins, which wait for all their members, rows themselves. A chord is
a join, its header, and the steps of its body.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from playbook.oracle.notation import Node, callbacks, kind_of

NOTHING: Any = object()


@dataclass
class Task:
    """One task of a canvas, with all callbacks that are its own or come to it from around it."""

    name: str
    kind: str
    immutable: bool
    links: list[str]
    errbacks: list[str]


@dataclass
class Join:
    """Rows of steps side by side."""

    members: list[Row]


Row = list["Task | Join"]


@dataclass
class Expected:
    """What a canvas must do.

    Attributes:
        result: what it returns, if nothing fails.
        failed: the tasks with one of whose errors it ends.
        runs: task or callback -> number of times it runs.
        order: (before, after), names of tasks.
        tasks: the tasks that run, without callbacks.
        nested: whether a join fails inside another.
        unsure: errbacks of what is told of a failed join, or not, depending on how the canvas was folded.
    """

    result: Any = None
    failed: set[str] = field(default_factory=set)
    runs: Counter[str] = field(default_factory=Counter)
    order: set[tuple[str, str]] = field(default_factory=set)
    tasks: set[str] = field(default_factory=set)
    nested: bool = False
    unsure: set[str] = field(default_factory=set)


def expected(canvas: Node) -> Expected:
    """Work out what a canvas must do."""
    return _run(_row(canvas), NOTHING)


def _row(node: Node) -> Row:
    """Return the steps of a canvas."""
    kind = kind_of(node)
    if kind == "task":
        links, errbacks = _names(node, "link"), _names(node, "link_error")
        return [Task(_name(node), node["task"], node.get("immutable", False), links, errbacks)]
    if kind == "group":
        return [Join([_row(member) for member in node["group"]])]
    if kind == "chord":
        row = [Join([_row(member) for member in node["chord"]["header"]]), *_row(node["chord"]["body"])]
        hung = row[1:]
    else:
        row = hung = [step for part in _unrolled(kind, node[kind]) for step in _row(part)]
    tasks = [step for step in hung if isinstance(step, Task)]
    for task in tasks:
        task.errbacks += _names(node, "link_error")
    if callbacks(node, "link"):
        tasks[-1].links += _names(node, "link")
    return row


def _unrolled(kind: str, parts: list[Node]) -> list[Node]:
    """Return the parts of a chain, with the member of a group of one in its place.

    A group on the left of `|` stays one: `group(a) | b` is a chord, as is `group(a, b) | group(c)`.
    """
    first = parts[0] if kind == "pipe" else _member(parts[0])
    second = parts[1] if "group" in first else _member(parts[1])
    return [first, second, *map(_member, parts[2:])]


def _member(part: Node) -> Node:
    return part["group"][0] if "group" in part and len(part["group"]) == 1 else part


def _name(node: Node) -> str:
    return str(node["kwargs"]["name"])


def _names(node: Node, kind: str) -> list[str]:
    return [_name(callback) for callback in callbacks(node, kind)]


def _run(row: Row, value: Any) -> Expected:
    done = Expected(value)
    for number, step in enumerate(row):
        now = _run_task(step, done.result) if isinstance(step, Task) else _run_join(step, done.result)
        between = {(before, after) for before in done.tasks for after in now.tasks}
        now.runs += done.runs
        now.order |= done.order | between
        now.tasks |= done.tasks
        done = now
        if done.failed:
            if isinstance(step, Join):
                _tell(done, row[number + 1 :])
            break
    return done


def _run_task(task: Task, value: Any) -> Expected:
    got = [] if value is NOTHING or task.immutable else [value]
    done = Expected([task.name, got], tasks={task.name})
    done.runs[task.name] = 2 if task.kind == "mark_retry" else 1
    if task.kind == "mark_fail":
        done.failed.add(task.name)
        done.runs.update(task.errbacks)
    else:
        done.runs.update(task.links)
        done.order |= {(task.name, link) for link in task.links}
    return done


def _run_join(join: Join, value: Any) -> Expected:
    done = Expected([])
    for row in join.members:
        member = _run(row, value)
        done.result.append(member.result)
        done.failed |= member.failed
        done.runs += member.runs
        done.order |= member.order
        done.tasks |= member.tasks
        done.unsure |= member.unsure
        done.nested |= bool(member.failed) and any(isinstance(step, Join) for step in row)
    return done


def _tell(done: Expected, rest: Row) -> None:
    """Add the errbacks that run because a join has failed: those of what would have got its list.

    A chain that is the body of a chord has errbacks of its own, and those of its first task count only where
    the chain was folded into one around it.
    """
    match rest:
        case [Task() as body]:
            done.runs.update(body.errbacks)
        case [Task() as first, *_]:
            done.unsure.update(first.errbacks)
        case [Join() as body]:
            for row in body.members:
                if isinstance(row[0], Task):
                    _tell(done, row)
