"""Slices, each computed once: they are pure, and take seconds to half a minute.

What has been computed is kept in the user's cache folder, for later phases, runs and tests. The name of an
entry is a digest of all that a slice depends on, so there is nothing to invalidate; the oldest ones go.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from platformdirs import user_cache_path

from playbook.config import Application
from playbook.contracts import Refusal, Slice
from playbook.files import write_atomically
from playbook.inputs import surroundings
from playbook.tree import Tree

Slicing: TypeAlias = Callable[[Application, Tree], Slice]

KEPT = 40
"""Entries that stay: a few states of an application, with its phases."""


def is_kept(slicing: Slicing) -> bool:
    """Whether slices are kept on disk: not of a function from outside, of which no digest tells changes."""
    return slicing.__module__.startswith(f"{__package__}.")


def sliced(slicing: Slicing, application: Application, tree: Tree) -> Slice:
    """Return what a phase makes of a tree: computed now, or before.

    Parameters:
        slicing: the phase's function.
        application: what is migrated.
        tree: what the phase starts from.

    Raises:
        ConfigError: as `slicing`.
    """
    return _sliced(slicing, application, frozenset(tree.items()), tree.binary)


@lru_cache(maxsize=16)
def _sliced(
    slicing: Slicing,
    application: Application,
    files: frozenset[tuple[str, str]],
    binary: frozenset[str],
) -> Slice:
    tree = Tree(dict(files), binary)
    if not is_kept(slicing):
        return slicing(application, tree)
    entry = _entry(slicing, application, tree)
    known = _read(entry, binary)
    if known is not None:
        return known
    made = slicing(application, tree)
    with contextlib.suppress(OSError):  # a full or read-only disk costs time, nothing else
        _keep(entry, made)
    return made


def _entry(slicing: Slicing, application: Application, tree: Tree) -> Path:
    parts = [slicing.__module__, slicing.__qualname__, application.model_dump(mode="json")]
    content = json.dumps([*parts, surroundings(), dict(tree), sorted(tree.binary)], sort_keys=True)
    folder: Path = user_cache_path("celery-to-taskiq") / "slices"
    return folder / f"{hashlib.sha256(content.encode()).hexdigest()}.json.gz"


def _read(entry: Path, binary: frozenset[str]) -> Slice | None:
    """What an entry holds; None if there is none, or only a damaged one."""
    try:
        content = json.loads(gzip.decompress(entry.read_bytes()))
        refusals = tuple(Refusal(**refusal) for refusal in content["refusals"])
        return Slice(Tree(content["files"], binary), refusals)
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError):
        return None


def _keep(entry: Path, made: Slice) -> None:
    content = {"files": dict(made.tree), "refusals": [asdict(refusal) for refusal in made.refusals]}
    write_atomically(entry, gzip.compress(json.dumps(content).encode(), compresslevel=1))
    entries = sorted(entry.parent.glob("*.json.gz"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in entries[KEPT:]:
        old.unlink(missing_ok=True)
