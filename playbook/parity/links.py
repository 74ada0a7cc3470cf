"""Compare which records share an identifier, whatever its value.

Masked identifiers are equal to one another, so a row that points to the wrong transcript would go unseen.
Here every identifier has a footprint: the places (label of the record, path within it) where it stands.
Neighbours in the sorted footprint form links, and each link must occur as often as in the control runs.
Neighbours instead of all pairs keep this linear, and a place that a control run lacks spoils only the links
next to it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from playbook.parity.models import Finding
from playbook.parity.sections import Labelled
from playbook.parity.tokens import Token

Place = tuple[str, str]
Link = tuple[Place, Place]
_ALONE: Place = ("", "")


def findings(controls: Sequence[Sequence[Labelled]], new: Sequence[Labelled]) -> list[Finding]:
    """Return the links between records that the new system breaks or makes."""
    known = _places(new) & {place for control in controls for place in _places(control)}
    miscounted = _miscounted(controls, new)
    known = {place for place in known if place[0] not in miscounted}
    learnt, got = [_links(control, known) for control in controls], _links(new, known)
    broken, made = [], []
    for link in sorted({link for links in (*learnt, got) for link in links}):
        low, high = min(links[link] for links in learnt), max(links[link] for links in learnt)
        if got[link] < low:
            broken.append(_finding(link, low, got[link]))
        elif got[link] > high:
            made.append(_finding(link, high, got[link]))
    return broken or made  # a broken link makes others: one report of each fault is enough


def _places(items: Iterable[Labelled]) -> set[Place]:
    return {(item.label, path) for item in items if item.label for path, _ in item.record.entities}


def _miscounted(controls: Sequence[Sequence[Labelled]], new: Sequence[Labelled]) -> set[str]:
    """Return the labels of which there are too few: that is a finding already."""
    learnt, got = (
        [Counter(item.label for item in run) for run in controls],
        Counter(item.label for item in new),
    )
    return {label for label in learnt[0] if label and got[label] < min(counts[label] for counts in learnt)}


def _links(items: Iterable[Labelled], known: set[Place]) -> Counter[Link]:
    footprints: dict[Token, set[Place]] = defaultdict(set)
    for item in items:
        for path, token in item.record.entities:
            if item.label and (item.label, path) in known:
                footprints[token].add((item.label, path))
    return Counter(link for places in footprints.values() for link in pairwise([_ALONE, *sorted(places)]))


def _finding(link: Link, expected: int, got: int) -> Finding:
    first, second = (label.rsplit("#", 1)[0] + path for label, path in link)
    if link[0] == _ALONE:
        text = f"{second} holds {got} identifiers that stand nowhere before it; in the old system {expected}."
        return Finding(kind="link", where=second, expected=expected, got=got, explanation=text)
    text = f"{second} and {first} share {got} identifiers, {expected} in the old system."
    return Finding(kind="link", where=f"{first} = {second}", expected=expected, got=got, explanation=text)
