"""Compare what was recorded, section by section: every record of the new system must fit one of the old."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from playbook.parity.learning import Item, assign, begin, differences, extend, pair
from playbook.parity.models import Finding, Noise
from playbook.parity.normalise import Record
from playbook.parity.patterns import Entry, at_path, open_places, plain

Catalogue = dict[str, list[Entry]]


@dataclass(frozen=True)
class Labelled:
    """A record with the label of the catalogue's entry that it fits; one label is one thing in all runs."""

    record: Record
    label: str | None


def learn(controls: Sequence[Sequence[Record]]) -> Catalogue:
    """Return for every section of the control runs what its records may look like, and how often."""
    sections = dict.fromkeys(record.section for control in controls for record in control)
    catalogue: Catalogue = {}
    for section in sections:
        first, *others = (_items(control, section) for control in controls)
        entries = begin(first)
        for other in others:
            entries = extend(entries, other)
        catalogue[section] = entries
    return catalogue


def label(catalogue: Catalogue, records: Sequence[Record]) -> tuple[list[Labelled], dict[str, list[Entry]]]:
    """Return the records with their labels, and per section the entries of which there are too few."""
    by_section: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_section[record.section].append(record)
    labelled, short = [], {}
    for section in dict.fromkeys([*catalogue, *by_section]):
        entries, members = catalogue.get(section, []), by_section[section]
        places, lacking = assign(entries, [(record.identity, record.content) for record in members])
        labelled += [
            Labelled(record, None if place is None else f"{section}#{place}")
            for record, place in zip(members, places, strict=True)
        ]
        short[section] = [entries[number] for number in lacking]
    return labelled, short


def findings(labelled: Iterable[Labelled], short: dict[str, list[Entry]]) -> list[Finding]:
    """Return the records that the new system lacks, has in addition, or has with other values."""
    strange: dict[str, list[Record]] = defaultdict(list)
    for item in labelled:
        if item.label is None:
            strange[item.record.section].append(item.record)
    found = []
    for section in dict.fromkeys([*short, *strange]):
        lacking, extra = short.get(section, []), strange[section]
        pairs = pair(
            [(entry.identity, entry.pattern) for entry in lacking],
            [(record.identity, record.content) for record in extra],
        )
        found += [_changed(section, lacking[number], extra[place]) for number, place in pairs]
        matched = {number for number, _ in pairs}, {place for _, place in pairs}
        found += [_missing(section, entry) for n, entry in enumerate(lacking) if n not in matched[0]]
        found += [_extra(section, record) for n, record in enumerate(extra) if n not in matched[1]]
    return found


def noise(catalogue: Catalogue, controls: Sequence[Sequence[Labelled]]) -> list[Noise]:
    """Return the open places of the catalogue with the values that the control runs have there."""
    found = []
    for section, entries in catalogue.items():
        for number, entry in enumerate(entries):
            contents = [_contents(control, f"{section}#{number}") for control in controls]
            if entry.low < entry.high:
                name = where(section, entry.identity)
                counts = [{"times": len(each), "record": plain(entry.pattern)} for each in contents]
                found.append(Noise(kind="count", where=name, values=counts))
            for path, _ in open_places(entry.pattern):
                values = [plain(at_path(content, path)) for each in contents for content in each]
                found.append(Noise(kind="value", where=where(section, entry.identity) + path, values=values))
    return found


def _items(records: Iterable[Record], section: str) -> list[Item]:
    return [(record.identity, record.content) for record in records if record.section == section]


def _contents(control: Iterable[Labelled], name: str) -> list[Any]:
    return [item.record.content for item in control if item.label == name]


def where(section: str, identity: str) -> str:
    """Return the name of a record for a reader."""
    return section if not identity or identity in section else f"{section}[{identity}]"


def _changed(section: str, entry: Entry, record: Record) -> Finding:
    found = list(differences(entry.pattern, record.content))
    name = where(section, entry.identity)
    if len(found) == 1:
        path, expected, got = found[0]
        text = f"{name}{path} is {_short(got)}; the old system has {_short(expected)}."
        return Finding(kind="changed", where=name + path, expected=expected, got=got, explanation=text)
    paths = ", ".join(path.lstrip(".") for path, _, _ in found)
    return Finding(
        kind="changed",
        where=name,
        expected={path: expected for path, expected, _ in found},
        got={path: got for path, _, got in found},
        explanation=f"{name} differs from the old system's in {len(found)} places: {paths}.",
    )


def _missing(section: str, entry: Entry) -> Finding:
    name, expected = where(section, entry.identity), plain(entry.pattern)
    text = f"{name} lacks a {_noun(section)} that the old system always leaves: {_short(expected)}."
    return Finding(kind="missing", where=name, expected=expected, explanation=text)


def _extra(section: str, record: Record) -> Finding:
    name = where(section, record.identity)
    text = f"{name} has a {_noun(section)} that the old system never leaves: {_short(record.content)}."
    return Finding(kind="extra", where=name, got=record.content, explanation=text)


def _noun(section: str) -> str:
    nouns = {
        "trace": "run",
        "requests": "request",
        "messages": "message",
        "objects": "object",
        "files": "file",
    }
    return nouns.get(section.split(".")[0], "record")


def _short(value: Any, limit: int = 160) -> str:
    text = value if isinstance(value, str) and value.startswith("<") else repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
