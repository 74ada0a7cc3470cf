"""Properties of the comparison: noise never counts, and no single change of anything else goes unseen."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from playbook.parity import Policy, compare
from tests.playbook.unit.parity_samples import Data, live, observation, upload

SEEDS = st.integers(min_value=0, max_value=5000)

# What a run may have otherwise than another: see `upload` for the noisy columns.
NOISE_KEYS = {
    "at",
    "worker",
    "system",
    "root_id",
    "parent_id",
    "processing_seconds",
    "created_at",
    "expires_at",
}
NOISE_KEYS |= {"content-length", "timestamp", "X-Webhook-Signature", "delay", "label", "scenario"}


def policy(*seeds: int) -> Policy:
    return Policy(folders=tuple(f"/srv/run-{seed}" for seed in seeds))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every leaf whose change is a fault."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in NOISE_KEYS:
                yield from places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*path, index))
    else:
        yield path


def get(data: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        data = data[step]
    return data


def is_noise(data: Data, path: tuple[Any, ...]) -> bool:
    """True for a digest of a noisy text, an own key that nothing refers to, and the arguments of an end."""
    if path[-1] == "sha256":
        return bool(get(data, path[:-1])["key"].endswith("report.json"))
    if path[0] == "trace" and get(data, path[:2])["kind"] == "end" and path[2] in ("args", "kwargs"):
        return True
    value = get(data, path)
    return path[-1] == "id" and (isinstance(value, int) or json.dumps(data).count(json.dumps(value)) == 1)


def changed(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return "changed"
    if isinstance(value, int | float):
        return value + 1
    return value + "x"


@given(st.lists(SEEDS, min_size=3, max_size=3, unique=True))
@settings(max_examples=25, deadline=None)
def test_runs_of_one_behaviour_never_differ(seeds: list[int]) -> None:
    one, two, new = seeds
    comparison = compare(
        observation(upload(one)), observation(upload(two)), observation(upload(new, "taskiq")), policy(*seeds)
    )

    assert comparison.findings == []


@given(st.lists(SEEDS, min_size=3, max_size=3, unique=True))
@settings(max_examples=25, deadline=None)
def test_branches_may_race(seeds: list[int]) -> None:
    one, two, new = (observation(live(seed)) for seed in seeds)

    assert compare(one, two, new).findings == []


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_a_run_agrees_with_itself(seed: int) -> None:
    one, two = observation(upload(seed)), observation(upload(seed + 1))

    assert compare(one, two, one, policy(seed, seed + 1)).ok
    assert compare(one, one, one, policy(seed)).ok


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_changed_value_is_found(data: st.DataObject) -> None:
    new = upload(7, "taskiq")
    path = data.draw(st.sampled_from([path for path in places(new) if not is_noise(new, path)]))
    damaged = copy.deepcopy(new)
    get(damaged, path[:-1])[path[-1]] = changed(get(new, path))
    try:
        spoilt = observation(damaged)
    except ValueError:  # the model itself refuses the value
        return

    assert not compare(observation(upload(1)), observation(upload(2)), spoilt, policy(1, 2, 7)).ok, path


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_lost_or_doubled_record_is_found(data: st.DataObject) -> None:
    new = upload(7, "taskiq")
    effects = new["effects"]
    lists = [*effects["rows"].values(), *(effects[name] for name in effects if name != "rows"), new["trace"]]
    records = data.draw(st.sampled_from(lists))
    index = data.draw(st.integers(min_value=0, max_value=len(records) - 1))
    if data.draw(st.booleans()):
        del records[index]
    else:
        records.append(records[index])

    assert not compare(observation(upload(1)), observation(upload(2)), observation(new), policy(1, 2, 7)).ok
