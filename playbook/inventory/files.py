"""The files of an application: which are looked at, and how their bytes become text.

Invariants: nothing outside the application's folder is read (symbolic links are not followed), and installed,
generated or versioning folders are not part of the application.
"""

from __future__ import annotations

import os
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath

from playbook.inventory.models import InventoryError

JUNK = frozenset(
    (
        *(".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".nox", ".eggs"),
        *(
            "site-packages",
            ".mypy_cache",
            ".ruff_cache",
            ".pytest_cache",
            ".ipynb_checkpoints",
            ".idea",
            ".vscode",
        ),
    )
)
OUTPUT = frozenset({"build", "dist", "target"})
HEAD = 8192
"""Bytes at the beginning of a file that tell whether it is binary: text has no zero bytes."""


@dataclass(frozen=True, slots=True)
class File:
    """One file: its POSIX path relative to the application, and its bytes."""

    path: str
    data: bytes

    @property
    def is_python(self) -> bool:
        """By its name, or for a script without suffix by its first line."""
        if self.path.endswith((".py", ".pyi", ".pyw")):
            return True
        script = self.data.startswith(b"#!") and "." not in PurePosixPath(self.path).name
        return script and b"python" in self.data.split(b"\n", 1)[0]

    @property
    def lines(self) -> list[str]:
        """The lines as the parser counts them; what is not UTF-8 is replaced."""
        return _plain_newlines(self.data.decode("utf-8", "replace")).split("\n")


def read_files(root: Path) -> list[File]:
    """Read all files of the application below `root`, sorted by path.

    Raises InventoryError if `root` is not a folder that can be read.
    """
    if not root.is_dir():
        raise InventoryError(f"{root} is not a folder; give the folder that holds the application")
    return [File(path.relative_to(root).as_posix(), data) for path, data in sorted(_walk(root))]


def _walk(root: Path) -> Iterator[tuple[Path, bytes]]:
    for folder, subfolders, names in os.walk(root):
        here = Path(folder)
        subfolders[:] = sorted(name for name in subfolders if not _is_junk(here / name))
        for name in names:
            path = here / name
            if path.is_symlink() or not path.is_file():
                continue
            try:
                with path.open("rb") as stream:
                    head = stream.read(HEAD)
                    if b"\0" not in head or path.suffix == ".py":
                        yield path, head + stream.read()
            except OSError as error:
                raise InventoryError(
                    f"{path} cannot be read ({error.strerror}); make it readable or remove it"
                ) from error


def _is_junk(folder: Path) -> bool:
    if folder.is_symlink() or folder.name in JUNK or folder.name.endswith(".egg-info"):
        return True
    if folder.name in OUTPUT:
        return not (folder / "__init__.py").exists()
    return (folder / "pyvenv.cfg").exists()


def decode(file: File) -> str:
    """Return the text of a Python file by its own declaration of encoding (PEP 263), UTF-8 without one.

    Raises SyntaxError for an unknown encoding and UnicodeDecodeError for bytes that do not fit it.
    """
    encoding, _ = tokenize.detect_encoding(BytesIO(file.data).readline)
    return _plain_newlines(file.data.decode(encoding))


def _plain_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
