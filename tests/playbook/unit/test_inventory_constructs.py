"""Every way in which a program uses Celery, and what the inventory makes of it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from playbook.inventory import Inventory, inventory

TASKS = """
from celery import Celery, shared_task
app = Celery("shop")

@shared_task
def add(x, y): ...

@app.task(name="named", bind=True)
def other(self): ...
"""
"""`pkg/tasks.py` of most cases: the tasks `pkg.tasks.add` and `named`."""


def read(tmp_path: Path, files: dict[str, str]) -> Inventory:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return inventory(tmp_path)


def with_tasks(tmp_path: Path, text: str, **files: str) -> Inventory:
    """The inventory of `pkg.tasks` as above and `pkg/use.py` with `text` (its first line is line 1)."""
    return read(
        tmp_path,
        {
            "pkg/__init__.py": "",
            "pkg/tasks.py": TASKS,
            "pkg/use.py": textwrap.dedent(text).lstrip("\n"),
            **files,
        },
    )


def task_of(tmp_path: Path, text: str) -> dict[str, Any]:
    (entry,) = read(tmp_path, {"work.py": textwrap.dedent(text).lstrip("\n")}).to_json()["tasks"]
    return entry


class TestTasks:
    @pytest.mark.parametrize(
        ("text", "line", "decorators"),
        [
            ("from celery import shared_task\n@shared_task\ndef job(): ...", 3, ["shared_task"]),
            ("from celery import shared_task as task\n@task()\ndef job(): ...", 3, ["task"]),
            ("import celery\n@celery.shared_task\ndef job(): ...", 3, ["celery.shared_task"]),
            (
                "import celery as c\n@c.shared_task(\n    max_retries=3,\n)\ndef job(): ...",
                5,
                ["c.shared_task"],
            ),
            ("from celery import Celery\nq = Celery()\n@q.task\ndef job(): ...", 4, ["q.task"]),
            ("from celery import current_app\n@current_app.task\ndef job(): ...", 3, ["current_app.task"]),
            ("from celery import *\n@shared_task\ndef job(): ...", 3, ["shared_task"]),
            (
                "try:\n    from celery import shared_task\nexcept ImportError:\n    shared_task = None\n"
                "@shared_task\ndef job(): ...",
                6,
                ["shared_task"],
            ),
            (
                "from celery import shared_task\nimport lib\n"
                "@lib.trace\n@shared_task\n@lib.retry(3)\ndef job(): ...",
                6,
                ["lib.trace", "shared_task", "lib.retry"],
            ),
            (
                "from celery import Celery\ndef make():\n    a = Celery()\n    return a\ncelery = make()\n"
                "@celery.task\ndef job(): ...",
                7,
                ["celery.task"],
            ),
            (
                "from celery import Celery\nclass Ext:\n    celery = Celery()\next = Ext()\n"
                "@ext.celery.task\ndef job(): ...",
                6,
                ["ext.celery.task"],
            ),
            (
                "import functools, celery\ntask = functools.partial(celery.shared_task)\n"
                "@task\ndef job(): ...",
                4,
                ["task"],
            ),
            ("from celery import shared_task\ndef job(): ...\ntask = shared_task(job)", 2, []),
            (
                "from celery import Celery\napp = Celery()\ndef job(): ...\nx = app.task(bind=False)(job)",
                3,
                [],
            ),
        ],
    )
    def test_is_found_however_it_is_made(
        self, text: str, line: int, decorators: list[str], tmp_path: Path
    ) -> None:
        entry = task_of(tmp_path, text)
        assert (entry["name"], entry["module"], entry["function"]) == ("work.job", "work", "job")
        assert (entry["path"], entry["line"], entry["decorators"]) == ("work.py", line, decorators)

    @pytest.mark.parametrize(
        "text",
        [
            "from taskiq import broker\n@broker.task\nasync def job(): ...  # not celery",
            "from invoke import task\n@task\ndef celery(): ...",
            "def shared_task(f): return f\n@shared_task\ndef celery(): ...",
        ],
    )
    def test_what_only_looks_like_one_is_none(self, text: str, tmp_path: Path) -> None:
        assert read(tmp_path, {"work.py": text}).tasks == ()

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ('"a.b"', "a.b"),
            ("NAME", "x.y"),
            ('NAME + ".z"', "x.y.z"),
            ('f"{NAME}.z"', "x.y.z"),
            ('__name__ + ".z"', "work.z"),
            ("Names.JOB", "class.name"),
            ("names.OTHER", "other.module"),
        ],
    )
    def test_a_given_name_counts_also_as_a_constant(self, name: str, expected: str, tmp_path: Path) -> None:
        text = f"""
            import names
            from celery import shared_task
            NAME = "x.y"
            class Names:
                JOB = "class.name"
            @shared_task(name={name})
            def job(): ...
        """
        found = read(tmp_path, {"work.py": text, "names.py": 'OTHER = "other.module"\n'})
        assert [task.name for task in found.tasks] == [expected]
        assert found.refused == ()

    def test_a_class_may_take_the_name_of_its_base(self, tmp_path: Path) -> None:
        text = (
            "from celery import Task\nclass Task(Task): ...\nclass A(B): ...\nclass B(A): ...\nA().x.delay()"
        )
        found = read(tmp_path, {"work.py": text})
        assert [(entry.line, entry.construct) for entry in found.refused] == [
            (2, "task class"),
            (5, "dynamic call"),
        ]

    def test_a_computed_name_is_refused(self, tmp_path: Path) -> None:
        found = read(
            tmp_path, {"work.py": "from celery import shared_task\n@shared_task(name=f())\ndef job(): ..."}
        )
        assert [task.name for task in found.tasks] == ["<f()>"]
        assert [(entry.line, entry.construct) for entry in found.refused] == [(3, "dynamic task name")]

    def test_options_are_literals_or_source(self, tmp_path: Path) -> None:
        entry = task_of(
            tmp_path,
            """
            from celery import shared_task
            @shared_task(bind=True, autoretry_for=(ValueError, OSError), retry_kwargs={"max_retries": 3},
                         default_retry_delay=60 * 5, queue="q", retry_jitter=False, throws=(),
                         max_retries=None)
            async def job(self): ...
            """,
        )
        assert entry["options"] == {
            "bind": True,
            "autoretry_for": "(ValueError, OSError)",
            "retry_kwargs": {"max_retries": 3},
            "default_retry_delay": "60 * 5",
            "queue": "q",
            "retry_jitter": False,
            "throws": [],
            "max_retries": None,
        }
        assert (entry["bind"], entry["is_async"]) == (True, True)

    def test_nested_and_method_tasks_have_qualified_functions(self, tmp_path: Path) -> None:
        found = read(
            tmp_path,
            {
                "work.py": """
                from celery import shared_task
                def outer(celery):
                    @celery.task
                    def inner(): ...
                class Box:
                    @staticmethod
                    @shared_task
                    def held(): ...
                """
            },
        )
        assert [(task.name, task.function) for task in found.tasks] == [
            ("work.inner", "outer.<locals>.inner"),
            ("work.held", "Box.held"),
        ]

    def test_a_decorator_of_the_application_makes_tasks_whose_options_are_refused(
        self, tmp_path: Path
    ) -> None:
        found = read(
            tmp_path,
            {
                "work.py": """
                from celery import shared_task
                def queued(queue):
                    def wrap(function):
                        return shared_task(queue=queue)(function)
                    return wrap
                @queued("slow")
                def job(): ...
                job.delay()
                """
            },
        )
        assert [(task.name, task.line, task.options) for task in found.tasks] == [
            ("work.job", 8, {"**": 'queued("slow")'})
        ]
        assert [(call.line, call.task) for call in found.calls] == [(9, "work.job")]
        assert (8, "computed options") in [(entry.line, entry.construct) for entry in found.refused]

    def test_a_class_based_task_is_listed_and_refused(self, tmp_path: Path) -> None:
        found = with_tasks(
            tmp_path,
            """
            from pkg.tasks import app
            class Base(app.Task):
                abstract = True
            class Import(Base):
                name = "import"
                def run(self, x): ...
            job = app.register_task(Import())
            job.delay(1)
            """,
        )
        assert [
            (task.name, task.line, task.function) for task in found.tasks if task.path == "pkg/use.py"
        ] == [("import", 4, "Import")]
        assert [(call.task, call.line) for call in found.calls] == [("import", 8)]
        assert [(entry.line, entry.construct) for entry in found.refused] == [
            (2, "task class"),
            (4, "task class"),
        ]


class TestCalls:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("from pkg.tasks import add\nadd.delay(1, 2)", (2, "pkg.tasks.add", "delay")),
            (
                "from pkg.tasks import add as plus\nplus.apply_async((1, 2))",
                (2, "pkg.tasks.add", "apply_async"),
            ),
            ("from . import tasks\ntasks.add.s(1)", (2, "pkg.tasks.add", "s")),
            ("import pkg.tasks\npkg.tasks.other.si()", (2, "named", "si")),
            ("import pkg.tasks as t\nt.add.signature((1,))", (2, "pkg.tasks.add", "signature")),
            ("from pkg import tasks as t\nt.add.subtask()", (2, "pkg.tasks.add", "subtask")),
            ("from .tasks import *\nadd.delay()", (2, "pkg.tasks.add", "delay")),
            ("from .api import plus\nplus.delay()", (2, "pkg.tasks.add", "delay")),
            ("from pkg.api import *\nplus.delay()", (2, "pkg.tasks.add", "delay")),
            ("from .tasks import add\njob = add\njob.delay()", (3, "pkg.tasks.add", "delay")),
            ("from .tasks import add\nadd.s(1).apply_async()", (2, "pkg.tasks.add", "apply_async")),
            ("from .tasks import add\nsig = add.s(1)\nsig.delay(2)", (3, "pkg.tasks.add", "delay")),
            ("from .tasks import add\nadd.map([1])", (2, "pkg.tasks.add", "map")),
            ("from .tasks import add\nadd.apply(args=(1, 2))", (2, "pkg.tasks.add", "apply")),
            ('from .tasks import app\napp.send_task("named")', (2, "named", "send_task")),
            ('from .tasks import app\napp.send_task(name="x.y")', (2, "x.y", "send_task")),
            ('from .tasks import app\napp.tasks["named"].delay()', (2, "named", "delay")),
            ('from celery import signature\nsignature("named")', (2, "named", "signature")),
            ('def f(queue):\n    queue.send_task("named")', (2, "named", "send_task")),
            ('from pkg import tasks\ngetattr(tasks, "add").delay()', (2, "pkg.tasks.add", "delay")),
            (
                'import importlib\nimportlib.import_module("pkg.tasks").add.delay()',
                (2, "pkg.tasks.add", "delay"),
            ),
            ('from .tasks import add\nTABLE = {"a": add}\nTABLE["a"].delay()', (3, "pkg.tasks.add", "delay")),
            ("from .tasks import add\nBOTH = [add]\nBOTH[0].delay()", (3, "pkg.tasks.add", "delay")),
            (
                'from x import import_string\nimport_string("pkg.tasks.add").delay()',
                (2, "pkg.tasks.add", "delay"),
            ),
        ],
    )
    def test_is_resolved(self, text: str, expected: tuple[int, str, str], tmp_path: Path) -> None:
        found = with_tasks(tmp_path, text, **{"pkg/api.py": "from .tasks import add as plus\n"})
        calls = [(call.line, call.task, call.method) for call in found.calls if call.path == "pkg/use.py"]
        assert expected in calls
        assert found.refused == ()

    @pytest.mark.parametrize(
        ("text", "function", "in_async"),
        [
            ("add.delay()", "<module>", False),
            ("def f():\n    add.delay()", "f", False),
            ("async def f():\n    add.delay()", "f", True),
            ("async def f():\n    def g():\n        add.delay()", "f.<locals>.g", False),
            ("def f():\n    async def g():\n        add.delay()", "f.<locals>.g", True),
            ("async def f():\n    return [add.delay(x) for x in xs]", "f", True),
            ("async def f():\n    later(lambda: add.delay())", "f.<locals>.<lambda>", False),
            ("class A:\n    async def m(self):\n        add.delay()", "A.m", True),
            ("class A:\n    x = add.delay()", "<module>", False),
            (
                "class A:\n    def __init__(self):\n        self.t = add\n"
                "    def m(self):\n        self.t.delay()",
                "A.m",
                False,
            ),
            ("class A:\n    t = add\nclass B(A):\n    def m(self):\n        self.t.delay()", "B.m", False),
            ("@add.delay\nasync def f(): ...", None, None),
        ],
    )
    def test_knows_where_it_stands(
        self, text: str, function: str | None, in_async: bool | None, tmp_path: Path
    ) -> None:
        found = with_tasks(tmp_path, "from pkg.tasks import add\n" + text)
        places = [(call.function, call.in_async) for call in found.calls]
        assert places == ([] if function is None else [(function, in_async)])

    def test_a_bound_task_retries_itself(self, tmp_path: Path) -> None:
        found = read(
            tmp_path,
            {
                "work.py": """
                from celery import shared_task
                @shared_task(bind=True)
                async def job(self, x):
                    raise self.retry(countdown=self.request.retries)
                """
            },
        )
        assert [(call.task, call.method, call.in_async) for call in found.calls] == [
            ("work.job", "retry", True)
        ]
        assert [(entry.kind, entry.detail) for entry in found.touchpoints][-1] == (
            "request",
            "self.request.retries",
        )

    @pytest.mark.parametrize(
        ("text", "construct"),
        [
            ("from pkg import tasks\ndef f(name):\n    getattr(tasks, name).delay()", "dynamic call"),
            ("def f(task):\n    task.delay()", "dynamic call"),
            ("from .tasks import add, other\nfor t in (add, other):\n    t.delay()", "dynamic call"),
            ("from .tasks import add, other\nt = add if x else other\nt.apply_async()", "dynamic call"),
            ("from .tasks import app\ndef f(name):\n    app.send_task(name)", "dynamic task name"),
            ("from .tasks import app\ndef f(name):\n    app.tasks[name].delay()", "dynamic task name"),
            ("from .tasks import add\nregister(add.delay)", "method handed over"),
            ("from .broken import job\njob.delay()", "dynamic call"),
            ("from .plain import unclear\n@unclear\ndef job(): ...\njob.delay()", "dynamic call"),
            ('globals()["add"].delay()', "dynamic call"),
            (
                "from django.utils.module_loading import import_string\nimport_string(x).delay()",
                "dynamic call",
            ),
            (
                "from celery import shared_task\ndef f(function):\n    shared_task(function)",
                "dynamic registration",
            ),
            ("from .tasks import add\nadd.apply_async(expires=10)", "expires"),
            ("from .tasks import add\nadd.apply_async(priority=1)", "priority"),
            ("from .tasks import app\napp.control.revoke(id, terminate=True)", "revoke"),
            ("from .tasks import app\napp.control.rate_limit('x', '1/s')", "remote control"),
            ("from celery.result import AsyncResult\nAsyncResult(x).revoke()", "revoke"),
        ],
    )
    def test_what_cannot_be_resolved_is_refused_with_its_line(
        self, text: str, construct: str, tmp_path: Path
    ) -> None:
        others = {
            "pkg/broken.py": "from celery import shared_task\ndef job(:\n",
            "pkg/plain.py": "def unclear(function): ...\n",
        }
        found = with_tasks(tmp_path, text, **others)
        refused = [(entry.line, entry.construct) for entry in found.refused if entry.path == "pkg/use.py"]
        assert refused == [(text.count("\n") + 1, construct)]

    @pytest.mark.parametrize(
        "text",
        [
            "import pygame\npygame.time.delay(10)",
            "from django_rq import job\n@job\ndef work(): ...\nwork.delay()",
            "from multiprocessing import Pool\nwith Pool() as p:\n    p.apply_async(f)",
            "def f(pool):\n    pool.apply_async(g)",
            "class Timer:\n    def delay(self): ...\nTimer().delay()",
            "import pandas\npandas.read_csv(x).apply(f).map(g)",
        ],
    )
    def test_other_libraries_are_left_alone(self, text: str, tmp_path: Path) -> None:
        found = with_tasks(tmp_path, text)
        assert not [entry for entry in (*found.calls, *found.refused) if entry.path == "pkg/use.py"]

    def test_a_started_canvas_has_no_single_task(self, tmp_path: Path) -> None:
        found = with_tasks(
            tmp_path,
            "from celery import group\nfrom .tasks import add\nflow = add.s(1) | add.s(2)\nflow.delay()",
        )
        assert [(call.line, call.task, call.method) for call in found.calls][-1] == (4, None, "delay")
