"""How long the inventory of a large tree takes. It prints the figure; the bound is the project's promise."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from playbook.inventory import inventory

FILES, LINES, WITH_CELERY = 1000, 300, 50
BOUND = 15.0
"""Seconds, for 300,000 lines of which 50 files mention Celery."""

PLAIN = '''
class Record{n}:
    """One record of kind {n}."""

    def __init__(self, name: str, size: int = {n}) -> None:
        self.name, self.size = name, size

    def total(self, rows: list[dict[str, int]]) -> int:
        return sum(row.get(self.name, 0) * self.size for row in rows if row)
'''

WORK = '''
@shared_task(bind=True, max_retries={n})
def job_{n}(self, value):
    """Do work number {n}."""
    if value > {n}:
        raise self.retry(countdown={n})
    chord(group(job_{n}.s(i) for i in range(value)), job_{n}.si({n})).delay()
    return job_{n}.delay(value - 1)
'''


def module(index: int) -> str:
    """One module of `LINES` lines."""
    head, body = "import os\n", PLAIN
    if index % (FILES // WITH_CELERY) == 0:
        head, body = "from celery import chord, group, shared_task\n", WORK
    parts = LINES // (body.count("\n") + 1)
    text = head + "".join(body.format(n=n) for n in range(parts))
    return text + "# end\n" * (LINES - text.count("\n"))


@pytest.mark.benchmark
def test_large_tree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(FILES):
        folder = tmp_path / f"package_{index // 50}"
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
        (folder / f"module_{index}.py").write_text(module(index))
    started = time.perf_counter()
    found = inventory(tmp_path)
    seconds = time.perf_counter() - started
    with capsys.disabled():
        print(f"\ninventory of {FILES * LINES:,} lines, {WITH_CELERY} files with Celery: {seconds:.1f} s")
    assert {task.path for task in found.tasks} == {
        path.relative_to(tmp_path).as_posix()
        for path in tmp_path.rglob("module_*.py")
        if "celery" in path.read_text()
    }
    assert seconds < BOUND
