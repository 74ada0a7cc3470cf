"""Which dotted module name a file has, and which modules it imports, read from the text alone.

Names follow what Python would import: a package is a folder with `__init__.py`; below the application, `src/`
and any folder whose files import each other by short names count as a place that modules are imported from.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

FROM_IMPORT = re.compile(
    rb"^[ \t]*from[ \t]+(\.*[ \t]*[\w.]*)[ \t]+import[ \t]*(\([^)]*\)|(?:[^\n\\]|\\\r?\n)*)", re.MULTILINE
)
IMPORT = re.compile(rb"^[ \t]*import[ \t]+((?:[^\n\\#;]|\\\r?\n)*)", re.MULTILINE)
COMMENT = re.compile(r"#.*")
SEPARATE = frozenset({"celery", "kombu", "billiard", "flower"})


@dataclass(frozen=True, slots=True)
class Imported:
    """One import: `name` of the absolute `module`; the name is "" for `import module`, "*" for all."""

    module: str
    name: str


def is_init(path: str) -> bool:
    """Whether the file is a package's `__init__`."""
    return PurePosixPath(path).stem == "__init__"


class ModuleNames:
    """Module names of all Python files of an application.

    Parameters: `root_package`, the name of the application's folder if it is itself a package, else "";
    `paths`, POSIX paths of the Python files relative to the application; `short_imports`, per path the first
    segments of its absolute imports.
    """

    def __init__(self, root_package: str, paths: Iterable[str], short_imports: dict[str, set[str]]) -> None:
        self._root_package = root_package
        self._files = set(paths)
        self._packages = {str(PurePosixPath(path).parent) for path in self._files if is_init(path)}
        self._folders = {str(parent) for path in self._files for parent in PurePosixPath(path).parents}
        self._sources = {"."} | ({"src"} & self._folders)
        if not root_package:
            self._sources |= self._short_sources(short_imports)
        self.by_path = {path: self._name(path) for path in sorted(self._files)}
        self.by_name = {name: path for path, name in reversed(self.by_path.items())}
        self.prefixes = {
            ".".join(name.split(".")[:n]) for name in self.by_name for n in range(1, name.count(".") + 2)
        }

    def _short_sources(self, short_imports: dict[str, set[str]]) -> set[str]:
        """Folders, no packages, that hold a module which a file below them imports by its short name."""
        found = set()
        for path, names in short_imports.items():
            outside = {name for name in names if not self._holds(".", name) and not self._holds("src", name)}
            outside -= SEPARATE | sys.stdlib_module_names
            for folder in map(str, PurePosixPath(path).parents):
                if (
                    folder not in ("src", ".")
                    and folder not in self._packages
                    and any(self._holds(folder, n) for n in outside)
                ):
                    found.add(folder)
        return found

    def _holds(self, folder: str, name: str) -> bool:
        inside = name if folder == "." else f"{folder}/{name}"
        return f"{inside}.py" in self._files or inside in self._folders

    def _name(self, path: str) -> str:
        pure = PurePosixPath(path)
        source = next(str(parent) for parent in pure.parents if str(parent) in self._sources)
        parts = list(pure.relative_to(source).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        if self._root_package and source == ".":
            parts.insert(0, self._root_package)
        return ".".join(parts) or pure.stem


def root_package(folder: str, files: Mapping[str, bytes]) -> str:
    """The name of the application's folder if its files are imported below that name, else "".

    That is so if it holds `__init__.py`, or if one of the files imports another one as `folder.module`.
    """
    if "__init__.py" in files:
        return folder
    inside = {PurePosixPath(path).with_suffix("").parts[0] for path in files}
    if folder in inside | SEPARATE:
        return ""
    for data in files.values():
        for target, name in _imports(data):
            parts = [*target.split("."), name]
            if parts[0] == folder and parts[1] in inside:
                return folder
    return ""


def absolute(module: str, is_package: bool, target: str) -> str:
    """Turn the `target` of an import in `module` (with leading dots if relative) into an absolute name."""
    dots = len(target) - len(target.lstrip("."))
    if not dots:
        return target
    parts = module.split(".") if module else []
    parts = parts[: len(parts) - (dots - is_package)]
    return ".".join([*parts, *filter(None, [target[dots:]])])


def short_imports(data: bytes) -> set[str]:
    """Return the first segments of all absolute imports in the text of a module."""
    return {name.split(".")[0] for name, _ in _imports(data) if not name.startswith(".")}


def imports(data: bytes, module: str, is_package: bool) -> set[Imported]:
    """Return what the text of `module` imports, with absolute names; words in strings may be among it."""
    return {Imported(absolute(module, is_package, target), name) for target, name in _imports(data)}


def _imports(data: bytes) -> Iterator[tuple[str, str]]:
    for match in FROM_IMPORT.finditer(data):
        target = match[1].decode("utf-8", "replace").replace(" ", "").replace("\t", "")
        names = COMMENT.sub("", match[2].decode("utf-8", "replace")).strip("()").replace("\\", " ")
        for name in re.split(r"[,;]", names):
            if words := name.split():
                yield target, words[0]
    for match in IMPORT.finditer(data):
        for name in match[1].decode("utf-8", "replace").replace("\\", " ").split(","):
            if words := name.split():
                yield words[0], ""
