"""Compare two systems: the control runs teach the noise, and the new system may differ only as they do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from textwrap import shorten

from playbook.models import Observation
from playbook.parity import delays, links, order, sections
from playbook.parity.models import Comparison, Finding, Policy
from playbook.parity.normalise import Record, counters, records
from playbook.parity.scopes import scopes
from playbook.parity.sections import Labelled
from playbook.parity.tokens import Token, leaves, tokens


def compare(
    a: Observation, a2: Observation | Sequence[Observation], b: Observation, policy: Policy | None = None
) -> Comparison:
    """Compare a run of the new system with control runs of the old one.

    Args:
        a: A run of the old system.
        a2: A second run of the old system, or several. What `a` and these differ in is noise. A control run
            in which one service answers late shows which orders were only chance.
        b: A run of the new system, of the same scenario.
        policy: What the control runs cannot show. Default: `Policy()`.

    Returns:
        The findings: what `b` did and no control run did, or the other way round. The values of
        identifiers, times, ports and folders that each run makes anew do not count, but where the same
        identifier stands does.

    Raises:
        ValueError: The runs are not of one scenario, or the controls are not of one system.
    """
    policy = policy or Policy()
    controls = [a, *([a2] if isinstance(a2, Observation) else a2)]
    _require_comparable(controls, b)
    runs = _normalise(controls, b, policy)
    catalogue = sections.learn(runs[:-1])
    labelled = [sections.label(catalogue, run) for run in runs]
    old, (new, short) = [items for items, _ in labelled[:-1]], labelled[-1]
    promises, titles = order.Promises([scopes(items, policy) for items in old], policy), _titles(old[0])
    old_delays, new_delays = [_retries(items) for items in old], _retries(new)
    return Comparison(
        scenario=a.scenario,
        labels=[observation.label for observation in (*controls, b)],
        findings=[
            *_nothing(runs[0]),
            *sections.findings(new, short),
            *links.findings(old, new),
            *order.findings(promises.broken(scopes(new, policy)), titles),
            *delays.findings(old_delays, new_delays, policy),
        ],
        noise=[*sections.noise(catalogue, old), *promises.noise(titles), *delays.noise(old_delays)],
        compared=dict(sorted(Counter(record.section for record in runs[0]).items())),
    )


def _require_comparable(controls: Sequence[Observation], b: Observation) -> None:
    if len(controls) < 2:
        raise ValueError("A comparison needs at least two control runs: run the old system once more.")
    scenarios = {observation.scenario for observation in (*controls, b)}
    if len(scenarios) > 1:
        raise ValueError(
            f"Only runs of one scenario can be compared; these are of {', '.join(sorted(scenarios))}."
        )
    systems = {observation.system for observation in controls}
    if len(systems) > 1:
        raise ValueError(
            f"The control runs must be of one system; these are of {', '.join(sorted(systems))}."
        )


def _normalise(controls: Sequence[Observation], b: Observation, policy: Policy) -> list[list[Record]]:
    constants: frozenset[Token] = frozenset.intersection(*(frozenset(tokens(each)) for each in controls))
    counted = counters(controls)
    return [records(each, constants, counted, policy) for each in (*controls, b)]


def _retries(items: Iterable[Labelled]) -> delays.Retries:
    return delays.collect(item.record.execution for item in items if item.record.execution is not None)


def _titles(items: Iterable[Labelled]) -> dict[str, str]:
    """Return a name for each label; records that would share one are told apart by what they hold."""
    found = {item.label: item.record for item in items if item.label}
    names = {label: sections.where(record.section, record.identity) for label, record in found.items()}
    shared = Counter(names.values())
    return {
        label: f"{name} ({_gist(found[label])})" if shared[name] > 1 else name
        for label, name in names.items()
    }


def _gist(record: Record) -> str:
    """Return what a record holds that is not masked, shortened; of a request what its body holds."""
    content = (
        record.content.get("body", record.content) if isinstance(record.content, dict) else record.content
    )
    texts = [
        leaf for key, _, leaf in leaves(content, "value") if key and isinstance(leaf, str) and "<" not in leaf
    ]
    return shorten(" ".join(texts), 60, placeholder="…")


def _nothing(records: Sequence[Record]) -> list[Finding]:
    """A comparison of nothing proves nothing."""
    if any(record.section != "tables" for record in records):
        return []
    text = "The old system left no trace and no effects, so there is nothing to compare with."
    return [Finding(kind="empty", where="observation", explanation=text)]
