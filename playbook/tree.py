"""A source tree in memory: what rewrite rules read and return, so that they need no files.

A tree never changes. A rule returns a new one, and two trees tell what lies between them.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

JUNK_FOLDERS = frozenset(
    {
        ".git",
        ".hg",
        ".venv",
        "venv",
        "node_modules",
        "__pycache__",
        ".pytest_cache",
        ".mypy_cache",
        ".ruff_cache",
    }
    | {".hypothesis", ".ipynb_checkpoints", "htmlcov"}
)
"""Folders that are never part of an application's source."""

JUNK_SUFFIXES = (".pyc", ".pyo", ".sqlite3", ".sqlite3-wal", ".sqlite3-shm", ".egg-info")


ChangeKind: TypeAlias = Literal["added", "changed", "removed"]


@dataclass(frozen=True)
class Change:
    """What happened to one file between two trees. `added` and `removed` count lines."""

    path: str
    kind: ChangeKind
    added: int
    removed: int


class Tree(Mapping[str, str]):
    """Text files by their POSIX path, in the order of the paths.

    Parameters:
        files: text by path.
        binary: paths of files that are not UTF-8 text. They are carried along by name only and never change.
    """

    def __init__(self, files: Mapping[str, str], binary: Iterable[str] = ()) -> None:
        self._files = MappingProxyType(dict(sorted(files.items())))
        self.binary = frozenset(binary)

    def __getitem__(self, path: str) -> str:
        return self._files[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __repr__(self) -> str:
        return f"<Tree of {len(self)} files>"

    def with_file(self, path: str, text: str) -> Tree:
        """A tree in which `path` holds `text`. ValueError if it leaves the tree or is binary."""
        if path.startswith("/") or ".." in path.split("/") or path in self.binary:
            raise ValueError(
                f"cannot write text to {path!r}: give a path inside the tree that is no binary file"
            )
        return Tree({**self._files, path: text}, self.binary)

    def without(self, path: str) -> Tree:
        """A tree that lacks `path`. Raises KeyError if it is not there."""
        if path not in self._files:
            raise KeyError(path)
        return Tree({known: text for known, text in self._files.items() if known != path}, self.binary)

    def changes(self, after: Tree) -> list[Change]:
        """What leads from this tree to `after`, one entry per file, ordered by path."""
        return [self._change(path, after) for path in self._differing(after)]

    def unified_diff(self, after: Tree, kind: ChangeKind | None = None) -> str:
        """The way from this tree to `after` as `git apply` understands it; empty when nothing differs.

        Parameters:
            after: the other tree.
            kind: only the files that this happened to; None: all of them.
        """
        paths = [path for path in self._differing(after) if kind in (None, self._kind(path, after))]
        return "".join(_file_diff(path, self.get(path), after.get(path)) for path in paths)

    def _differing(self, after: Tree) -> list[str]:
        return [path for path in sorted({*self, *after}) if self.get(path) != after.get(path)]

    def _kind(self, path: str, after: Tree) -> ChangeKind:
        return "added" if path not in self else "removed" if path not in after else "changed"

    def _change(self, path: str, after: Tree) -> Change:
        edits = _edits(_lines(self.get(path)), _lines(after.get(path)), "", "")[2:]
        return Change(
            path,
            self._kind(path, after),
            added=sum(line.startswith("+") for line in edits),
            removed=sum(line.startswith("-") for line in edits),
        )


def read_tree(root: Path, under: Iterable[str] = (".",)) -> Tree:
    """Read the source files of a folder.

    Parameters:
        root: the folder that the paths are relative to.
        under: folders below `root` to read; all of it by default. One that does not exist holds no files.
    Returns: the tree. Caches, virtual environments and databases are left out; no symbolic link is followed.
    """
    files: dict[str, str] = {}
    binary: set[str] = set()
    for path in source_files(root, under):
        name = path.relative_to(root).as_posix()
        try:
            files[name] = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            binary.add(name)
    return Tree(files, binary)


def source_files(root: Path, under: Iterable[str] = (".",)) -> list[Path]:
    """The regular files of an application's source, ordered by path. Arguments as for `read_tree`."""
    found: set[Path] = set()
    for start in under:
        for folder, subfolders, names in os.walk(root / start):
            subfolders[:] = [name for name in subfolders if not _is_junk(name)]
            paths = (Path(folder, name) for name in names if not _is_junk(name))
            found.update(path for path in paths if path.is_file() and not path.is_symlink())
    return sorted(found)


def source_digest(root: Path, under: Iterable[str] = (".",)) -> str:
    """SHA-256 over names, contents and executable bits of the source files. Arguments as for `read_tree`."""
    digest = hashlib.sha256()
    for path in source_files(root, under):
        content = path.read_bytes()
        executable = os.access(path, os.X_OK)
        digest.update(f"{path.relative_to(root).as_posix()}\0{executable}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _is_junk(name: str) -> bool:
    return name in JUNK_FOLDERS or name.endswith(JUNK_SUFFIXES)


def _file_diff(path: str, before: str | None, after: str | None) -> str:
    old = "/dev/null" if before is None else f"a/{path}"
    new = "/dev/null" if after is None else f"b/{path}"
    head = f"diff --git a/{path} b/{path}\n"
    if before is None:
        head += "new file mode 100644\n"
    if after is None:
        head += "deleted file mode 100644\n"
    edits = _edits(_lines(before), _lines(after), old, new)
    return head + "".join(
        line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in edits
    )


def _edits(before: list[str], after: list[str], old: str, new: str) -> list[str]:
    """A unified diff, two header lines first; empty when nothing differs."""
    return list(difflib.unified_diff(before, after, old, new))


def _lines(text: str | None) -> list[str]:
    """Lines that end as git sees them: at a line feed and nowhere else."""
    if not text:
        return []
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]
