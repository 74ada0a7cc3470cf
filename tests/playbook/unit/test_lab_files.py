"""The trace file, and the files of a folder."""

import hashlib
import json
import multiprocessing
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbook.lab.effects.files import empty_folder, list_files
from playbook.lab.tracing.trace_file import plain, read_trace, write_event
from playbook.models import TaskEvent


def event(number: int, writer: int = 0, at: float = 0.0) -> TaskEvent:
    return TaskEvent(at=at, kind="start", system="celery", task="t" * 500, id=f"{writer}-{number}")


def write_many(path: str, writer: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYBOOK_TRACE", path)
        for number in range(200):
            write_event(event(number, writer))


def test_lines_of_several_processes_do_not_mix(tmp_path: Path):
    path = tmp_path / "trace.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(str(path), writer)) for writer in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    ids = [found.id for found in read_trace(path)]
    for writer in range(3):
        expected = [f"{writer}-{number}" for number in range(200)]
        assert [found for found in ids if found.startswith(f"{writer}-")] == expected


def test_events_come_in_the_order_in_which_they_happened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "trace.jsonl"
    monkeypatch.setenv("PLAYBOOK_TRACE", str(path))
    for number, at in enumerate([2.0, 1.0, 3.0]):
        write_event(event(number, at=at))
    assert [found.at for found in read_trace(path)] == [1.0, 2.0, 3.0]


def test_reading_starts_at_the_offset_and_leaves_out_a_line_that_is_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "trace.jsonl"
    assert read_trace(path) == []
    monkeypatch.setenv("PLAYBOOK_TRACE", str(path))
    write_event(event(1))
    offset = path.stat().st_size
    write_event(event(2))
    with path.open("a") as trace:
        trace.write('{"at": 1')
    assert [found.id for found in read_trace(path)] == ["0-1", "0-2"]
    assert [found.id for found in read_trace(path, offset)] == ["0-2"]


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(JSON)
def test_json_stays_as_it_is(value: object):
    assert plain(value) == value


def test_what_json_does_not_know_becomes_text():
    value = {1: (UUID(int=1), datetime(2024, 1, 1)), "b": {"x"}}
    assert json.dumps(plain(value)) == (
        '{"1": ["00000000-0000-0000-0000-000000000001", "2024-01-01 00:00:00"], "b": "{\'x\'}"}'
    )


def test_files_are_listed_by_path_with_size_and_digest(tmp_path: Path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two").write_bytes(b"22")
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    found = list_files(tmp_path)
    assert [(file.container, file.key, file.size) for file in found] == [
        (tmp_path.name, "a", 1),
        (tmp_path.name, "b/two", 2),
    ]
    assert found[0].sha256 == hashlib.sha256(b"1").hexdigest()


def test_emptying_a_folder_leaves_it_and_what_links_point_to(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    folder = tmp_path / "folder"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "file").touch()
    (folder / "link").symlink_to(outside)
    empty_folder(folder)
    assert list(folder.iterdir()) == []
    assert (outside / "kept").exists()
