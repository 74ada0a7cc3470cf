"""Compare the order of things: what always came first in the old system must come first in the new one.

Two moments have a promised order if every control run keeps it in every scope that holds both, and if more
than chance stands behind it: moments caused by tasks that ran at the same time promise nothing. Between
tasks it counts only that one ended before the other started, and that a task started before the one it sent.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from playbook.parity.models import Finding, Noise, Policy
from playbook.parity.scopes import Kind, Moment, Scope

Key = tuple[Kind, str]
Pair = tuple[Key, Key]
Places = dict[Key, Moment]

_WORKFLOW_DOMAINS = ("workflow", "root", "run")


class Promises:
    """The orders that the control runs keep."""

    def __init__(self, controls: Sequence[Sequence[Scope]], policy: Policy) -> None:
        """Learn from the scopes of the control runs."""
        self._policy = policy
        self._controls = [_by_domain(scopes) for scopes in controls]
        self._sends = {pair for scopes in controls for scope in scopes for pair in scope.sends}
        self._promised = None if policy.promised is None else _extended(policy.promised, self._sends)

    def broken(self, scopes: Iterable[Scope]) -> dict[str, list[tuple[Moment, Moment]]]:
        """Return per domain the pairs (first, second) that came in the wrong order.

        A pair of a workflow is looked up by identifier, else by root, else in the whole run.
        """
        by_domain = _by_domain(scopes)
        seen: set[frozenset[Key]] = set()
        found: dict[str, list[tuple[Moment, Moment]]] = defaultdict(list)
        for domain in (*_WORKFLOW_DOMAINS, *sorted(by_domain.keys() - set(_WORKFLOW_DOMAINS))):
            met: set[frozenset[Key]] = set()
            for places in by_domain.get(domain, []):
                for one, other in combinations(sorted(places.values(), key=lambda moment: moment.order), 2):
                    pair = frozenset((one.key, other.key))
                    met.add(pair)
                    if pair not in seen and self._late(other, one) and self._kept(domain, other.key, one.key):
                        found[domain].append((other, one))
            seen |= met if domain in _WORKFLOW_DOMAINS else set()
        return found

    def noise(self, titles: Mapping[str, str]) -> list[Noise]:
        """Return per section the pairs of records that the controls order either way."""
        found = []
        for domain in sorted(self._controls[0].keys() - set(_WORKFLOW_DOMAINS)):
            flipped = [
                [_title(one, titles), _title(other, titles)]
                for places in self._controls[0][domain]
                for one, other in combinations(sorted(places.values(), key=lambda moment: moment.order), 2)
                if any(a.order > b.order for a, b in self._together(domain, one.key, other.key))
            ]
            if flipped:
                found.append(Noise(kind="order", where=domain, values=list(flipped)))
        return found

    def _late(self, first: Moment, second: Moment) -> bool:
        """True if `first`, which should have come first, came later by more than the clocks may be off."""
        slack = self._policy.slack if {first.kind, second.kind} & {"start", "end"} else 0.0
        return first.order > second.order + slack

    def _kept(self, domain: str, first: Key, second: Key) -> bool:
        """True if the controls promise that `first` comes before `second`."""
        pairs = self._together(domain, first, second)
        if not pairs or not all(self._precedes(one, other) for one, other in pairs):
            return False
        if (first[0], second[0]) == ("start", "start"):
            return (first[1], second[1]) in self._sends
        causes, effects = (_merged(pair[place].tasks for pair in pairs) for place in (0, 1))
        if not self._counts(domain, (first[0], causes), (second[0], effects)):
            return False
        return not any(self._race(cause, effect) for cause in causes for effect in effects)

    def _together(self, domain: str, first: Key, second: Key) -> list[tuple[Moment, Moment]]:
        """Return the pair from every scope that holds both; empty unless every control run has one."""
        domains = _WORKFLOW_DOMAINS[:2] if domain in _WORKFLOW_DOMAINS else (domain,)
        for name in domains:
            per_control = [
                [
                    (places[first], places[second])
                    for places in control.get(name, [])
                    if {first, second} <= places.keys()
                ]
                for control in self._controls
            ]
            if all(per_control):
                return [pair for pairs in per_control for pair in pairs]
        return []

    def _precedes(self, first: Moment, second: Moment) -> bool:
        kinds = {first.kind, second.kind}
        if kinds == {"request"}:
            return first.order + self._policy.simultaneous <= second.order
        if kinds == {"entry"}:
            return first.order < second.order
        return first.order <= second.order + self._policy.slack

    @staticmethod
    def _counts(domain: str, first: tuple[Kind, frozenset[str]], second: tuple[Kind, frozenset[str]]) -> bool:
        """True if an order of these kinds of moment can be a promise at all."""
        (kind, causes), (other, effects) = first, second
        if kind == other:
            return domain not in _WORKFLOW_DOMAINS or bool(kind == "request" and causes and effects)
        if (kind, other) in (("start", "request"), ("request", "end")):
            return causes == effects and len(causes) == 1
        return (
            kind in ("end", "request")
            and other in ("start", "request")
            and bool(causes)
            and not causes & effects
        )

    def _race(self, one: str, other: str) -> bool:
        """True unless one of the tasks is to end before the other starts, and always did."""
        if one == other:
            return False
        if self._promised is not None and not {(one, other), (other, one)} & self._promised:
            return True
        pairs = [
            self._together("workflow", ("end", first), ("start", second))
            for first, second in ((one, other), (other, one))
        ]
        return not any(found and all(self._precedes(*pair) for pair in found) for found in pairs)


def findings(
    broken: Mapping[str, Sequence[tuple[Moment, Moment]]], titles: Mapping[str, str]
) -> list[Finding]:
    """Return the broken orders, few for each fault: the moment that breaks most of them is named first."""
    found = []
    for domain, pairs in broken.items():
        left = list(dict.fromkeys(pairs))
        while left:
            culprit, _ = Counter(moment.key for pair in left for moment in pair).most_common(1)[0]
            own = [pair for pair in left if culprit in (pair[0].key, pair[1].key)]
            left = [pair for pair in left if pair not in own]
            found.append(_finding(domain, own, titles))
    return found


def _finding(domain: str, pairs: Sequence[tuple[Moment, Moment]], titles: Mapping[str, str]) -> Finding:
    expected = [f"{_title(first, titles)} before {_title(second, titles)}" for first, second in pairs]
    first, second = pairs[0]
    early, late = _title(second, titles), _title(first, titles)
    text = f"{early} came before {late}; in the old system it always comes after."
    text = text[0].upper() + text[1:]
    where = "order" if domain in _WORKFLOW_DOMAINS else domain
    return Finding(kind="order", where=where, expected=expected, got="the other way round", explanation=text)


def _title(moment: Moment, titles: Mapping[str, str]) -> str:
    if moment.kind in ("start", "end"):
        return f"the {moment.kind} of {moment.label}"
    return titles.get(moment.label.split("/")[0], moment.label)


def _merged(causes: Iterable[frozenset[str]]) -> frozenset[str]:
    """Return the tasks that every control names as a possible cause, or all named ones if they disagree."""
    each = list(causes)
    return frozenset.intersection(*each) or frozenset.union(*each)


def _extended(promised: Iterable[tuple[str, str]], sends: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Add what follows: a task that waits for another also lets those wait that it sends."""
    found = set(promised)
    while more := {(one, last) for one, other in found for first, last in sends if other == first} - found:
        found |= more
    return {(one, other) for one, other in found if one != other}


def _by_domain(scopes: Iterable[Scope]) -> dict[str, list[Places]]:
    domains: dict[str, list[Places]] = defaultdict(list)
    for scope in scopes:
        domains[scope.domain].append({moment.key: moment for moment in scope.moments})
    return domains
