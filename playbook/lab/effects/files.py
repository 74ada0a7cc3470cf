"""The files below a folder."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from playbook.models import StoredObject


def list_files(folder: Path) -> list[StoredObject]:
    """List all files below a folder by path; `key` is the path relative to it, `container` the folder's name.

    A file that is removed while this runs is left out. Symbolic links are not followed.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        try:
            if path.is_symlink() or not path.is_file():
                continue
            data = path.read_bytes()
        except FileNotFoundError:
            continue
        found.append(
            StoredObject(
                container=folder.name,
                key=path.relative_to(folder).as_posix(),
                size=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
            )
        )
    return found


def empty_folder(folder: Path) -> None:
    """Remove all that a folder holds; the folder stays, or comes into being."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
