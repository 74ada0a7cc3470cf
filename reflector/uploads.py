"""Recordings that arrive in chunks: keep them, put them together, check what comes out."""

import re
import shutil
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from reflector.processors import probe


def store_chunk(folder: Path, number: int, total: int, filename: str | None, content: BinaryIO) -> bool:
    """Store chunk `number` (from 0) of `total`; with the last one missing, assemble `folder`/upload.<ext>.

    Chunks may come in any order, at the same time, and repeatedly. Parameters: `filename` is the client's
    name for the recording, of which only the extension is used. Returns True to exactly one caller: the one
    that completed the recording. Raises `AudioError`, and forgets all chunks, if the recording cannot be
    decoded.
    """
    parts = folder / "chunks"
    parts.mkdir(parents=True, exist_ok=True)
    try:
        _write(parts / str(number), content)
        if not all((parts / str(index)).exists() for index in range(total)):
            return False
        # The rename succeeds for one caller only, which makes it the claim to the finished set.
        claimed = parts.rename(folder / f"chunks-{uuid4().hex}")
    except FileNotFoundError:
        return False
    try:
        assembled = claimed / "assembled"
        with assembled.open("wb") as output:
            for index in range(total):
                with (claimed / str(index)).open("rb") as part:
                    shutil.copyfileobj(part, output)
        probe(assembled)
        for former in folder.glob("upload.*"):
            former.unlink()
        assembled.replace(folder / f"upload{_suffix(filename)}")
    finally:
        shutil.rmtree(claimed)
    return True


def _write(path: Path, content: BinaryIO) -> None:
    """Write the file under another name first, so that a chunk that exists is complete."""
    temporary = path.with_name(f".{uuid4().hex}")
    with temporary.open("wb") as output:
        shutil.copyfileobj(content, output)
    temporary.replace(path)


def _suffix(filename: str | None) -> str:
    """The extension of the client's name if it is a harmless one. Decoding goes by content, not by name."""
    suffix = Path(filename or "").suffix.lower()
    return suffix if re.fullmatch(r"\.[a-z0-9]{1,5}", suffix) else ".audio"
