"""The application's tree: module names, what is read, mentions outside of code, completeness."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbook.inventory import Inventory, InventoryError, inventory
from playbook.inventory.modules import absolute

TASK = "from celery import shared_task\n@shared_task\ndef job(): ...\n"


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def touched(found: Inventory, path: str) -> list[tuple[int, str]]:
    return [(entry.line, entry.kind) for entry in found.touchpoints if entry.path == path]


class TestModules:
    @pytest.mark.parametrize(
        ("files", "module"),
        [
            ({"__init__.py": "", "worker/__init__.py": "", "worker/jobs.py": TASK}, "shop.worker.jobs"),
            ({"__init__.py": TASK}, "shop"),
            ({"jobs.py": TASK}, "jobs"),
            ({"worker/__init__.py": "", "worker/jobs.py": TASK}, "worker.jobs"),
            ({"worker/jobs.py": TASK}, "worker.jobs"),
            ({"worker/__init__.py": TASK}, "worker"),
            ({"src/worker/__init__.py": "", "src/worker/jobs.py": TASK}, "worker.jobs"),
            (
                {
                    "backend/app/__init__.py": "",
                    "backend/app/jobs.py": TASK,
                    "backend/run.py": "import app.jobs",
                },
                "app.jobs",
            ),
            ({"jobs.py": TASK, "run.py": "from shop.jobs import job"}, "shop.jobs"),
            ({"worker/jobs.py": TASK, "run.py": "import shop.worker.jobs"}, "shop.worker.jobs"),
            ({"jobs.py": TASK, "run.py": "import shop.other"}, "jobs"),
            ({"scripts/jobs.py": TASK, "scripts/run.py": "from jobs import job"}, "jobs"),
        ],
    )
    def test_have_the_names_that_python_imports_them_by(
        self, files: dict[str, str], module: str, tmp_path: Path
    ) -> None:
        (task,) = inventory(write(tmp_path / "shop", files)).tasks
        assert (task.module, task.name) == (module, f"{module}.job")
        assert (tmp_path / "shop" / task.path).read_text() == TASK

    @pytest.mark.parametrize(
        ("module", "is_package", "target", "expected"),
        [
            ("a.b", False, "x.y", "x.y"),
            ("a.b", False, ".c", "a.c"),
            ("a.b", True, ".c", "a.b.c"),
            ("a.b.c", False, "..d", "a.d"),
            ("a.b", False, ".", "a"),
            ("a", False, "...far", "far"),
        ],
    )
    def test_relative_imports(self, module: str, is_package: bool, target: str, expected: str) -> None:
        assert absolute(module, is_package, target) == expected


class TestFiles:
    def test_what_is_not_the_application_is_not_read(self, tmp_path: Path) -> None:
        outside = write(tmp_path / "outside", {"jobs.py": TASK})
        root = write(
            tmp_path / "app",
            {
                **{
                    f"{junk}/jobs.py": TASK
                    for junk in (".git", "node_modules", "__pycache__", ".venv", "build")
                },
                "env/pyvenv.cfg": "",
                "env/lib/jobs.py": TASK,
                "jobs.py": TASK,
                "picture.png": b"\x89PNG\0celery",
            },
        )
        (root / "linked").symlink_to(outside, target_is_directory=True)
        (root / "linked.py").symlink_to(outside / "jobs.py")
        found = inventory(root)
        paths = {entry["path"] for entries in found.to_json().values() for entry in entries}
        assert paths == {"jobs.py"}

    @pytest.mark.parametrize(
        ("data", "line", "message"),
        [
            (b"from celery import x\n\ndef f(:\n    ...\n", 3, "invalid syntax"),
            (b"import celery\nx = (\n\n", 2, "'(' was never closed"),
            (b"import celery\ntemplate = t'{x}' if x else t''\n", 2, "invalid syntax"),
            (b"import celery\n# \xff\n", 2, "the bytes are not utf-8"),
            (b"# coding: nowhere\nimport celery\n", 1, "unknown encoding: nowhere"),
            (b"import celery\n\0", 1, "null bytes"),
        ],
    )
    def test_what_cannot_be_parsed_is_reported(
        self, data: bytes, line: int, message: str, tmp_path: Path
    ) -> None:
        found = inventory(write(tmp_path, {"bad.py": data}))
        (refusal,) = found.refused
        assert (refusal.path, refusal.construct) == ("bad.py", "unparsable file")
        assert refusal.line == line
        assert message in refusal.reason
        assert {entry.path for entry in found.touchpoints} == {"bad.py"}

    @pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
    def test_lines_count_whatever_ends_them(self, newline: bytes, tmp_path: Path) -> None:
        data = b'"""\x0c \xe2\x80\xa8"""\n# celery\n' + TASK.encode()
        found = inventory(write(tmp_path, {"jobs.py": data.replace(b"\n", newline)}))
        assert [task.line for task in found.tasks] == [5]
        assert touched(found, "jobs.py") == [(2, "mention"), (3, "import")]

    def test_declared_encodings_and_byte_order_marks_are_honoured(self, tmp_path: Path) -> None:
        latin = "# coding: latin-1\nname = 'é'; " + TASK.replace("\n", "\n", 1)
        found = inventory(
            write(tmp_path, {"latin.py": latin.encode("latin-1"), "bom.py": b"\xef\xbb\xbf" + TASK.encode()})
        )
        assert found.refused == ()
        assert {task.path for task in found.tasks} == {"latin.py", "bom.py"}

    def test_scripts_without_suffix_count_as_python(self, tmp_path: Path) -> None:
        found = inventory(write(tmp_path, {"run": "#!/usr/bin/env python3\n" + TASK}))
        assert [task.name for task in found.tasks] == ["run.job"]

    @pytest.mark.parametrize("name", ["missing", "file.py"])
    def test_the_application_must_be_a_folder(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "file.py").write_text(TASK)
        with pytest.raises(InventoryError, match="is not a folder; give the folder"):
            inventory(tmp_path / name)

    def test_an_empty_folder_has_an_empty_inventory(self, tmp_path: Path) -> None:
        assert set(map(len, inventory(tmp_path).to_json().values())) == {0}

    def test_deep_nesting_is_no_traceback(self, tmp_path: Path) -> None:
        deep = "from celery import signature\nx = " + " | ".join(["signature('a')"] * 600) + "\nx.delay()\n"
        found = inventory(write(tmp_path, {"deep.py": deep}))
        assert found.canvases or found.refused


class TestMentions:
    @pytest.mark.parametrize(
        ("path", "text", "kind"),
        [
            ("requirements.txt", "celery[redis]>=5", "dependency"),
            ("requirements/prod.txt", "flower==2", "dependency"),
            ("pyproject.toml", 'dependencies = ["celery"]', "dependency"),
            ("setup.cfg", "    celery", "dependency"),
            ("Pipfile", 'celery = "*"', "dependency"),
            ("environment.yml", "  - celery", "dependency"),
            ("uv.lock", 'name = "kombu"', "dependency"),
            ("runserver.sh", "celery -A app worker", "command"),
            ("Makefile", "\tcelery -A app beat", "command"),
            ("bin/start", "#!/bin/sh\nexec celery worker", "command"),
            ("Dockerfile", 'CMD ["celery", "worker"]', "deployment"),
            ("compose.yml", "  command: celery worker", "deployment"),
            ("Procfile", "worker: celery worker", "deployment"),
            ("supervisord.conf", "command=celery worker", "deployment"),
            ("worker.service", "ExecStart=celery worker", "deployment"),
            ("k8s/worker.yaml", "args: [celery]", "deployment"),
            (".github/workflows/ci.yml", "run: celery --version", "ci"),
            (".gitlab-ci.yml", "- celery --version", "ci"),
            ("tox.ini", "deps = celery", "ci"),
            (".env.example", "CELERY_BROKER_URL=x", "setting"),
            ("README.md", "Run `celery worker`.", "docs"),
            ("docs/ops.rst", "Celery", "docs"),
            ("data.json", '{"a": "celery"}', "mention"),
        ],
    )
    def test_kind_of_a_text_file(self, path: str, text: str, kind: str, tmp_path: Path) -> None:
        found = inventory(write(tmp_path, {path: "nothing\n" + text if not text.startswith("#!") else text}))
        assert touched(found, path) == [(2, kind)]

    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            ("# celery is used here", "mention"),
            ('"""A worker for celery."""', "mention"),
            ("CELERY_BROKER_URL = 'x'", "setting"),
            ("from celery import Celery", "import"),
            ("import kombu", "import"),
            ("from celery.signals import task_prerun as t; t.connect(f)", "signal"),
            ("from celery import current_task; current_task.request.id", "current_task"),
            ("from celery.result import AsyncResult; AsyncResult(x)", "result"),
            ("from celery.utils.log import get_task_logger; get_task_logger('x')", "logger"),
            ("from celery.exceptions import Retry; raise Retry", "exception"),
            ("from celery import Celery; Celery().control.inspect().active()", "control"),
            ("from celery import Celery; Celery().conf.timezone = 'UTC'", "config"),
            ("from celery.schedules import crontab; crontab()", "schedule"),
            ("from kombu import Queue; Queue('q')", "routing"),
            ("from celery.contrib.testing.worker import start_worker; start_worker()", "test"),
            ("from celery import shared_task; x = shared_task", "celery_api"),
        ],
    )
    def test_kind_of_a_line_of_python(self, text: str, kind: str, tmp_path: Path) -> None:
        kinds = [entry.kind for entry in inventory(write(tmp_path, {"x.py": text})).touchpoints]
        assert kind in kinds

    @pytest.mark.parametrize(
        "text",
        [
            "def test_it(celery_app, celery_worker): ...",
            'pytestmark = pytest.mark.usefixtures("celery_session_worker")',
            "@pytest.fixture\ndef celery_config(): ...",
            'def config(): return {"task_always_eager": True}',
            '@patch("shop.job.delay")\ndef test_it(mock): ...',
        ],
    )
    def test_test_fixtures_and_mocks(self, text: str, tmp_path: Path) -> None:
        found = inventory(write(tmp_path, {"shop.py": TASK, "tests/test_shop.py": text}))
        assert [kind for _, kind in touched(found, "tests/test_shop.py")] == ["test"]

    def test_passwords_are_masked(self, tmp_path: Path) -> None:
        found = inventory(
            write(
                tmp_path,
                {
                    ".env": "CELERY_BROKER_URL=redis://me:hunter2@host/0\n",
                    "settings.py": "CELERY_BROKER_URL = 'amqp://me:hunter2@host//'\n",
                },
            )
        )
        assert len(found.touchpoints) == 2
        assert "hunter2" not in json.dumps(found.to_json())

    @pytest.mark.parametrize(
        ("path", "text", "construct"),
        [
            ("run.sh", "celery -A app worker -P gevent", "worker pool"),
            ("run.sh", "celery worker --pool=eventlet", "worker pool"),
            ("app.py", "from celery import Celery\nCelery().conf.worker_pool = 'gevent'", "worker pool"),
            ("app.py", "from celery import Celery\nCelery().conf.task_serializer = 'pickle'", "serialiser"),
            ("app.py", "from celery import Celery\nCelery().conf.task_routes = (route,)", "custom router"),
            ("app.py", "from celery import Celery\nCelery().conf.task_routes = route", "custom router"),
            ("app.py", "from celery import bootsteps\nclass S(bootsteps.Step): ...", "bootstep"),
            ("app.py", "from celery.contrib.abortable import AbortableTask", "abortable task"),
            ("app.py", "INSTALLED = 'celery'\nimport django_celery_beat", "stored schedule"),
        ],
    )
    def test_what_has_no_counterpart_is_refused(
        self, path: str, text: str, construct: str, tmp_path: Path
    ) -> None:
        found = inventory(write(tmp_path, {path: text}))
        assert construct in {entry.construct for entry in found.refused}

    def test_a_table_of_routes_is_no_custom_router(self, tmp_path: Path) -> None:
        text = "from celery import Celery\nCelery().conf.task_routes = {'a.*': {'queue': 'x'}}"
        assert inventory(write(tmp_path, {"app.py": text})).refused == ()


TREE: dict[str, str | bytes] = {
    "shop/__init__.py": "from .celery import app as celery_app\n__all__ = ['celery_app']\n",
    "shop/celery.py": """\
import os
from celery import Celery

app = Celery('shop')
app.config_from_object(
    'shop.settings',
)
""",
    "shop/settings.py": "# Celery\nBROKER = 1\nCELERY_X = {\n    'celery': 1,\n}\n",
    "shop/tasks.py": """\
from celery import shared_task as t


@t(
    bind=True,
)
def a(self):
    '''celery
    celery'''
    return self.request.id
""",
    "shop/api.py": """\
from shop.tasks import (
    a as b,
)


def go():
    b.delay(
        1,
    )
    x = b
    return [b, x]
""",
    "shop/more.py": "from shop.api import b\n\nJOBS = {'b': b}\nb('in place')\n",
    "shop/broken.py": "from celery import (\n",
    "tests/test_a.py": """\
from shop.tasks import a


def test(celery_worker, monkeypatch):
    monkeypatch.setattr(a, 'delay', None)
""",
    "notes.txt": "celery\nplain\ncelery\n",
}


def test_no_line_that_mentions_celery_is_left_out(tmp_path: Path) -> None:
    found = inventory(write(tmp_path, TREE)).to_json()
    starts: dict[str, set[int]] = {}
    for entries in found.values():
        for entry in entries:
            starts.setdefault(entry["path"], set()).add(entry["line"])
    for path, text in TREE.items():
        for number, line in enumerate(str(text).splitlines(), start=1):
            mentioned = re.search("celery", line, re.IGNORECASE) or (
                path.startswith("shop/") and re.search(r"\b(b|a as b)\b", line) and path != "shop/broken.py"
            )
            if mentioned:
                assert any(number - 2 <= start <= number for start in starts[path]), (path, number, line)


@given(st.lists(st.sampled_from(sorted(TREE)), unique=True, min_size=1))
def test_any_part_of_a_tree_can_be_read_and_gives_the_same_again(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = write(Path(folder), {name: TREE[name] for name in names})
        first, second = inventory(root).to_json(), inventory(root).to_json()
    assert first == second
    assert json.loads(json.dumps(first)) == first
