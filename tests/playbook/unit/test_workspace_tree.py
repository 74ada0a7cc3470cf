"""The tree in memory: what rules read and return."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playbook.tree import Change, Tree, read_tree, source_digest

PATHS = st.sampled_from(["a.py", "b.py", "pkg/a.py", "pkg/sub/c.py"])
LINES = st.sampled_from(["x = 1", "-- x", "++ y", "", "\x0c", "caf\u00e9", "a\x1cb", "\u2028"])
TEXTS = st.builds(
    lambda lines, end: "\n".join(lines) + end, st.lists(LINES, max_size=6), st.sampled_from(["", "\n"])
)
FILES = st.dictionaries(PATHS, TEXTS, max_size=4)


def test_with_file_leaves_the_tree_itself_as_it_was() -> None:
    before = Tree({"a.py": "1"})
    after = before.with_file("b.py", "2").without("a.py")
    assert dict(before) == {"a.py": "1"}
    assert dict(after) == {"b.py": "2"}


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.py", "pkg/../../x.py", "logo.png"])
def test_a_tree_refuses_paths_outside_of_it_and_text_for_binary_files(path: str) -> None:
    with pytest.raises(ValueError, match="inside the tree"):
        Tree({}, binary=["logo.png"]).with_file(path, "")


def test_without_an_unknown_file_is_an_error() -> None:
    with pytest.raises(KeyError):
        Tree({}).without("a.py")


def test_changes_count_lines() -> None:
    before = Tree({"a.py": "1\n2\n", "b.py": "-- x\n", "c.py": "same"})
    after = Tree({"a.py": "1\n3\n4\n", "c.py": "same", "d.py": "new\n"})
    assert before.changes(after) == [
        Change("a.py", "changed", added=2, removed=1),
        Change("b.py", "removed", added=0, removed=1),
        Change("d.py", "added", added=1, removed=0),
    ]


@given(FILES)
def test_a_tree_does_not_differ_from_itself(files: dict[str, str]) -> None:
    assert Tree(files).unified_diff(Tree(files)) == ""
    assert Tree(files).changes(Tree(files)) == []


@given(before=FILES, after=FILES)
@settings(max_examples=60, deadline=None)
def test_git_can_apply_every_diff(tmp_path_factory: pytest.TempPathFactory, before, after) -> None:
    folder = tmp_path_factory.mktemp("tree")
    for path, text in before.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text.encode())
    diff = Tree(before).unified_diff(Tree(after))
    if diff:
        command = ["git", "apply", "--whitespace=nowarn", "-"]
        done = subprocess.run(command, cwd=folder, input=diff.encode(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
    assert read_tree(folder) == Tree(after)


def test_read_tree_takes_source_and_nothing_else(tmp_path: Path) -> None:
    for name in ("pkg/a.py", "pkg/__pycache__/a.pyc", ".venv/lib/x.py", "db.sqlite3", "other/b.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    (tmp_path / "pkg" / "logo.png").write_bytes(b"\xff\xfe")
    (tmp_path / "pkg" / "link.py").symlink_to(tmp_path / "other" / "b.py")
    tree = read_tree(tmp_path, ["pkg", "missing"])
    assert list(tree) == ["pkg/a.py"]
    assert tree.binary == {"pkg/logo.png"}


def test_the_digest_sees_contents_names_and_executable_bits(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text("echo")
    seen = {source_digest(tmp_path)}
    script.chmod(0o755)
    seen.add(source_digest(tmp_path))
    script.write_text("echo 2")
    seen.add(source_digest(tmp_path))
    script.rename(tmp_path / "go.sh")
    seen.add(source_digest(tmp_path))
    assert len(seen) == 4
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_text("junk")
    assert source_digest(tmp_path) in seen
