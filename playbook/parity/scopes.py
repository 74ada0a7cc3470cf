"""Sort a run into scopes, within which the order of things means something.

A workflow holds the tasks that share an identifier among their arguments (one transcript) or a root, with the
requests they made. Other scopes are one WebSocket channel, one service, and the rows of a table that belong
together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from playbook.parity.executions import Execution
from playbook.parity.models import Policy
from playbook.parity.sections import Labelled
from playbook.parity.tokens import Token

Kind = Literal["start", "end", "request", "entry"]


@dataclass(frozen=True)
class Moment:
    """Something that happened once in a scope: a task's first start or last end, a request, a message or row.

    `order` sorts the moments of a scope; `tasks` are the tasks that may have caused this one.
    """

    kind: Kind
    label: str
    order: float
    tasks: frozenset[str]

    @property
    def key(self) -> tuple[Kind, str]:
        """What identifies the same moment in another run."""
        return self.kind, self.label


@dataclass(frozen=True)
class Scope:
    """The moments of one scope; only scopes of one `domain` are compared.

    `sends` are the pairs of tasks of which the first sent the second.
    """

    domain: str
    moments: tuple[Moment, ...]
    sends: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class _Work:
    execution: Execution
    identifiers: frozenset[Token]


def scopes(items: Sequence[Labelled], policy: Policy) -> list[Scope]:
    """Return the scopes of one run: domains `workflow`, `root` and `run`, and one per section with an order.

    The scope of domain `run` holds what occurred once in the whole run. It is used to find a pair of
    moments that a broken system no longer ties to one workflow.
    """
    work = [
        _Work(item.record.execution, _identifiers(item))
        for item in items
        if item.record.execution is not None
    ]
    return [
        *_workflows(items, work, policy),
        *_channels(items, work, policy),
        *_services(items, work, policy),
        *_tables(items, work, policy),
    ]


def _identifiers(item: Labelled) -> frozenset[Token]:
    """Return the identifiers of a record, its own key aside."""
    return frozenset(token for path, token in item.record.entities if token[0] != "host" and path != ".id")


def _causes(item: Labelled, work: Iterable[_Work], early: float, late: float) -> list[_Work]:
    """Return the executions that ran when a record was made; if any share an identifier with it, those."""
    at = item.record.at
    if at is None:
        return []
    running = [one for one in work if one.execution.start - early <= at <= one.execution.end + late]
    own = [one for one in running if one.identifiers & _identifiers(item)]
    return own or running


def _names(work: Iterable[_Work]) -> frozenset[str]:
    return frozenset(one.execution.task for one in work)


def _workflows(items: Sequence[Labelled], work: Sequence[_Work], policy: Policy) -> list[Scope]:
    requests = [
        (item, _causes(item, work, policy.slack, policy.slack))
        for item in items
        if item.label and item.record.section.startswith("requests.")
    ]
    groups: dict[tuple[str, Token], list[_Work]] = defaultdict(list)
    for one in work:
        groups["root", ("root", one.execution.events[0].root_id or one.execution.id)].append(one)
        for token in one.identifiers:
            groups["workflow", token].append(one)
    found = []
    for (domain, token), members in groups.items():
        ids = {one.execution.id for one in members}
        own = [
            (item, causes)
            for item, causes in requests
            if token in _identifiers(item) or (causes and ids.issuperset(one.execution.id for one in causes))
        ]
        found.append(_workflow(domain, members, own))
    once = Counter(one.execution.task for one in work)
    found.append(_workflow("run", [one for one in work if once[one.execution.task] == 1], requests))
    return found


def _workflow(
    domain: str, members: Sequence[_Work], requests: Sequence[tuple[Labelled, list[_Work]]]
) -> Scope:
    by_task: dict[str, list[Execution]] = defaultdict(list)
    for one in members:
        by_task[one.execution.task].append(one.execution)
    moments = []
    for task, runs in by_task.items():
        alone = frozenset({task})
        moments.append(Moment("start", task, min(run.start for run in runs), alone))
        moments.append(Moment("end", task, max(run.end for run in runs), alone))
    times = Counter(item.label for item, _ in requests)
    for item, causes in requests:
        if item.label and item.record.at is not None and times[item.label] == 1:
            moments.append(Moment("request", item.label, item.record.at, _names(causes)))
    names = {one.execution.id: one.execution.task for one in members}
    sends = frozenset(
        (names[parent], one.execution.task)
        for one in members
        if (parent := one.execution.events[0].parent_id) in names
    )
    return Scope(domain, tuple(moments), sends)


def _channels(items: Sequence[Labelled], work: Sequence[_Work], policy: Policy) -> list[Scope]:
    streams: dict[tuple[str, str], list[Labelled]] = defaultdict(list)
    for item in items:
        if item.record.section.startswith("messages."):
            streams[item.record.section, item.record.stream].append(item)
    return [_sequence(domain, members, work, policy) for (domain, _), members in streams.items()]


def _services(items: Sequence[Labelled], work: Sequence[_Work], policy: Policy) -> list[Scope]:
    sections: dict[str, list[Labelled]] = defaultdict(list)
    for item in items:
        if item.record.section.startswith("requests."):
            sections[item.record.section].append(item)
    found = []
    for section, members in sections.items():
        times = Counter(item.label for item in members)
        moments = tuple(
            Moment(
                "request",
                item.label,
                item.record.at or 0.0,
                _names(_causes(item, work, policy.slack, policy.slack)),
            )
            for item in members
            if item.label and times[item.label] == 1
        )
        found.append(Scope(section, moments))
    return found


def _tables(items: Sequence[Labelled], work: Sequence[_Work], policy: Policy) -> list[Scope]:
    groups: dict[tuple[str, Token], list[Labelled]] = defaultdict(list)
    for item in items:
        if item.record.section.startswith("rows."):
            for token in _identifiers(item):
                groups[item.record.section, token].append(item)
    return [_sequence(domain, members, work, policy) for (domain, _), members in groups.items()]


def _sequence(domain: str, members: Iterable[Labelled], work: Sequence[_Work], policy: Policy) -> Scope:
    """Return ordered records as a scope; the second record of a label is another moment than the first."""
    moments = []
    times: Counter[str] = Counter()
    placed = [(item.record.position, item) for item in members if item.record.position is not None]
    for position, item in sorted(placed, key=lambda pair: pair[0]):
        if item.label:
            causes = _names(_causes(item, work, policy.slack, policy.arrival))
            moments.append(Moment("entry", f"{item.label}/{times[item.label]}", position, causes))
            times[item.label] += 1
    return Scope(domain, tuple(moments))
