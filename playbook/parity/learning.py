"""Learn the narrowest pattern that fits the control runs, and hold other runs against it.

`generalise` opens a place as little as the evidence allows: one word of a text, one element of a list, one
optional key. A list whose order or length differs between controls becomes a bag, which still bounds how
often each element may occur. The records of a section form such a bag too: `begin` and `extend` learn it
from the control runs, `assign` holds another run against it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from playbook.parity.patterns import ABSENT, Bag, Entry, Maybe, Wild, facts, key, openness, plain

Item = tuple[str, Any]  # identity and value


def matches(pattern: Any, value: Any) -> bool:
    """True if the value fits the pattern; a literal fits only itself (1, 1.0 and true are three values)."""
    if isinstance(pattern, Maybe):
        return value is ABSENT or matches(pattern.pattern, value)
    if isinstance(pattern, Wild):
        return _kind(value) in pattern.types and _fits(pattern.words, value)
    if isinstance(pattern, Bag):
        return isinstance(value, list) and _fits_bag(pattern, value)
    if isinstance(pattern, dict) and isinstance(value, dict):
        names = pattern.keys() | value.keys()
        return all(matches(pattern.get(name, ABSENT), value.get(name, ABSENT)) for name in names)
    if isinstance(pattern, list) and isinstance(value, list):
        return len(pattern) == len(value) and all(map(matches, pattern, value))
    return type(pattern) is type(value) and bool(pattern == value)


def generalise(pattern: Any, value: Any) -> Any:
    """Return the narrowest pattern that fits all that the pattern fits, and the value."""
    if matches(pattern, value):
        return pattern
    if isinstance(pattern, Maybe):
        return Maybe(generalise(pattern.pattern, value))
    if value is ABSENT or pattern is ABSENT:
        return Maybe(pattern if value is ABSENT else value)
    if isinstance(pattern, dict) and isinstance(value, dict):
        names = sorted(pattern.keys() | value.keys())
        return {name: generalise(pattern.get(name, ABSENT), value.get(name, ABSENT)) for name in names}
    if isinstance(pattern, list | Bag) and isinstance(value, list):
        return _generalise_list(pattern, value)
    return _wild(pattern, value)


def differences(pattern: Any, value: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (path, expected, got) for every place where the value does not fit the pattern."""
    if matches(pattern, value):
        return
    inner = pattern.pattern if isinstance(pattern, Maybe) else pattern
    if isinstance(inner, dict) and isinstance(value, dict):
        for name in sorted(inner.keys() | value.keys()):
            yield from differences(inner.get(name, ABSENT), value.get(name, ABSENT), f"{path}.{name}")
    elif isinstance(inner, list) and isinstance(value, list) and len(inner) == len(value):
        for index, (expected, got) in enumerate(zip(inner, value, strict=True)):
            yield from differences(expected, got, f"{path}[{index}]")
    else:
        yield path, plain(pattern), plain(value)


def begin(run: Iterable[Item]) -> list[Entry]:
    """Return the entries of the first control run: every value exactly as often as it occurs."""
    return _collect([_Slot(identity, value, True) for identity, value in run])


def extend(entries: Iterable[Entry], run: Iterable[Item]) -> list[Entry]:
    """Return the entries opened as little as needed for one more control run.

    Values that fit are settled first. What is left over is paired, most alike first and only within one
    identity, with what this run lacks; such a pair shows which places are noise. Values without a partner
    may be there or not.
    """
    slots = [
        _Slot(entry.identity, entry.pattern, number < entry.low)
        for entry in entries
        for number in range(entry.high)
    ]
    left = _settle(slots, run)
    lacking = [slot for slot in slots if not slot.used]
    for place, value in pair([(slot.identity, slot.pattern) for slot in lacking], left):
        slot = lacking[place]
        slot.pattern, slot.used = generalise(slot.pattern, left[value][1]), True
        left[value] = ("", ABSENT)
    for slot in slots:
        slot.required = slot.required and slot.used
    slots += [_Slot(identity, value, False) for identity, value in left if value is not ABSENT]
    return _collect(slots)


def assign(entries: Sequence[Entry], run: Sequence[Item]) -> tuple[list[int | None], list[int]]:
    """Return for each value of a run the entry it fits (None: none is left), and the entries that it lacks.

    An entry that is lacking n times is listed n times. Literal entries are taken before open ones.
    """
    room = [entry.high for entry in entries]
    literal = {
        (entry.identity, key(entry.pattern)): number
        for number, entry in enumerate(entries)
        if not openness(entry.pattern)
    }
    opened = sorted(
        (openness(entry.pattern), number) for number, entry in enumerate(entries) if openness(entry.pattern)
    )
    places: list[int | None] = []
    for identity, value in run:
        exact = literal.get((identity, key(value)))
        candidates = ([] if exact is None else [exact]) + [
            number for _, number in opened if entries[number].identity == identity
        ]
        place = next((n for n in candidates if room[n] and matches(entries[n].pattern, value)), None)
        if place is not None:
            room[place] -= 1
        places.append(place)
    short = [
        number for number, entry in enumerate(entries) for _ in range(entry.low - (entry.high - room[number]))
    ]
    return places, short


def _kind(value: Any) -> str:
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}
    return kinds.get(type(value), "list" if isinstance(value, list | Bag) else "object")


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"<[^<>]+>|\w+|[^\w]", text))


def _fits(words: tuple[str | None, ...] | None, value: Any) -> bool:
    if words is None or not isinstance(value, str):
        return True
    got = _words(value)
    return len(got) == len(words) and all(
        word == part or (word is None and part.isidentifier()) or (word is None and part.isalnum())
        for word, part in zip(words, got, strict=True)
    )


def _wild(pattern: Any, value: Any) -> Wild:
    if isinstance(pattern, Wild):
        types, words = pattern.types, pattern.words
    else:
        types, words = frozenset({_kind(pattern)}), _words(pattern) if isinstance(pattern, str) else None
    if not isinstance(value, str) or words is None:
        keep = words if not isinstance(value, str) and "string" in types else None
        return Wild(types | {_kind(value)}, keep)
    got = _words(value)
    both = list(zip(words, got, strict=False))
    alike = len(words) == len(got) and all(a == b or (_word(a) and _word(b)) for a, b in both)
    return Wild(types, tuple(a if a == b else None for a, b in both) if alike else None)


def _word(part: str | None) -> bool:
    return part is None or bool(re.fullmatch(r"\w+", part))


def _generalise_list(pattern: list[Any] | Bag, value: list[Any]) -> Any:
    """Keep the places of a list when that opens less than giving up its order does."""
    items = [("", item) for item in value]
    if isinstance(pattern, Bag):
        return Bag(tuple(extend(pattern.entries, items)))
    bag = Bag(tuple(extend(begin([("", item) for item in pattern]), items)))
    if len(pattern) != len(value):
        return bag
    places = [generalise(expected, got) for expected, got in zip(pattern, value, strict=True)]
    return bag if openness(bag) < openness(places) else places


def _fits_bag(bag: Bag, value: list[Any]) -> bool:
    places, short = assign(bag.entries, [("", item) for item in value])
    return None not in places and not short


@dataclass
class _Slot:
    """One place for one value while a bag is learnt."""

    identity: str
    pattern: Any
    required: bool
    used: bool = False


def _settle(slots: list[_Slot], run: Iterable[Item]) -> list[Item]:
    """Mark the slots that values of the run fit; return the values that fit none."""
    literal: dict[Item, list[_Slot]] = defaultdict(list)
    opened = [slot for slot in slots if openness(slot.pattern)]
    for slot in slots:
        literal[slot.identity, key(slot.pattern)].append(slot)
    left: list[Item] = []
    for identity, value in run:
        free = literal[identity, key(value)] or [
            slot for slot in opened if slot.identity == identity and matches(slot.pattern, value)
        ]
        place = next((slot for slot in free if not slot.used), None)
        if place is None:
            left.append((identity, value))
        else:
            place.used = True
    return left


def pair(expected: Sequence[Item], got: Sequence[Item]) -> list[tuple[int, int]]:
    """Return pairs of places (expected, got) of one identity with half of their leaves in common."""
    known = [(identity, facts(pattern)) for identity, pattern in expected]
    ranked = []
    for place, (identity, value) in enumerate(got):
        leaves = facts(value)
        for number, (other, theirs) in enumerate(known):
            common = (leaves & theirs).total() if identity == other else -1
            if common * 2 >= min(leaves.total(), theirs.total()):
                ranked.append((-common, number, place))
    pairs: list[tuple[int, int]] = []
    taken: set[tuple[str, int]] = set()
    for _, number, place in sorted(ranked):
        if not {("expected", number), ("got", place)} & taken:
            taken |= {("expected", number), ("got", place)}
            pairs.append((number, place))
    return pairs


def _collect(slots: Iterable[_Slot]) -> list[Entry]:
    """Merge slots of equal patterns into entries."""
    groups: dict[Item, list[_Slot]] = defaultdict(list)
    for slot in slots:
        groups[slot.identity, key(slot.pattern)].append(slot)
    return [
        Entry(group[0].pattern, sum(slot.required for slot in group), len(group), group[0].identity)
        for group in groups.values()
    ]
