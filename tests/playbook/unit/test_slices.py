"""Slices that are kept on disk, and computed ahead."""

import time
from pathlib import Path

import pytest

from playbook import slices
from playbook.ahead import slices_ahead
from playbook.config import Application
from playbook.contracts import Slice
from playbook.lab import wait_until
from playbook.phases import PHASES, find_phase
from playbook.tree import Tree, read_tree
from tests.playbook import bakery


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    slices._sliced.cache_clear()
    return tmp_path / "cache" / "celery-to-taskiq" / "slices"


def poc(application: Application, tree: Tree) -> Slice:
    """Slice as a new process would, that remembers nothing."""
    slices._sliced.cache_clear()
    slicing = find_phase("poc").slice
    assert slicing is not None
    return slices.sliced(slicing, application, tree)


def test_what_is_kept_is_what_was_computed(kept: Path, tmp_path: Path) -> None:
    application = bakery.make(tmp_path)
    tree = read_tree(application.base, application.folders)
    computed = poc(application, tree)
    (entry,) = kept.iterdir()
    written = entry.stat().st_mtime_ns
    assert poc(application, tree) == computed
    assert (computed.tree.binary, entry.stat().st_mtime_ns) == (tree.binary, written)


@pytest.mark.parametrize("damage", [b"", b"\x1f\x8b", b"not compressed"])
def test_a_damaged_entry_is_made_again(kept: Path, tmp_path: Path, damage: bytes) -> None:
    application = bakery.make(tmp_path)
    tree = read_tree(application.base, application.folders)
    computed = poc(application, tree)
    (entry,) = kept.iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(damage)
    assert poc(application, tree) == computed
    assert len(entry.read_bytes()) == len(whole)


def test_another_tree_or_configuration_is_another_entry(kept: Path, tmp_path: Path) -> None:
    application = bakery.make(tmp_path)
    tree = read_tree(application.base, application.folders)
    poc(application, tree)
    poc(application, tree.with_file("bakery/cake.py", tree["bakery/cake.py"] + "\n"))
    poc(application.model_copy(update={"name": "patisserie"}), tree)
    assert len(list(kept.iterdir())) == 3


def test_a_cache_that_cannot_be_written_costs_time_only(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    application = bakery.make(tmp_path)
    assert poc(application, read_tree(application.base, application.folders)).tree


def test_only_the_newest_stay(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "KEPT", 2)
    application = bakery.make(tmp_path)
    tree = read_tree(application.base, application.folders)
    for number in range(4):
        poc(application, tree.with_file("bakery/notes.txt", str(number)))
    assert len(list(kept.iterdir())) == 2


def test_a_function_from_outside_is_not_kept(kept: Path, tmp_path: Path) -> None:
    def changed(application: Application, tree: Tree) -> Slice:
        return Slice(tree.with_file("bakery/new.txt", str(time.monotonic_ns())))

    application = bakery.make(tmp_path)
    assert "bakery/new.txt" in slices.sliced(changed, application, Tree({})).tree
    assert not kept.exists()


def test_the_slices_of_all_phases_are_computed_ahead(kept: Path, tmp_path: Path) -> None:
    application = bakery.make(tmp_path)
    with slices_ahead(application, PHASES, tmp_path / "run"):
        expected = sum(phase.slice is not None for phase in PHASES)
        assert wait_until(lambda: len(list(kept.glob("*.gz"))) == expected, 120)
    tree = read_tree(application.base, application.folders)
    for phase in PHASES:
        if phase.slice is not None:
            tree = slices.sliced(phase.slice, application, tree).tree
    assert len(list(kept.iterdir())) == expected


def test_there_is_nothing_to_compute_for_one_phase(kept: Path, tmp_path: Path) -> None:
    with slices_ahead(bakery.make(tmp_path), PHASES[1:2], tmp_path / "run"):
        assert not (tmp_path / "run").exists()
