"""New imports stand where a sorted file has them; those that nothing uses go without a trace."""

import libcst as cst
import pytest

from playbook.rewrite.placed import with_imports
from playbook.rewrite.unused import without_unused

HEAD = '"""A file."""\n\n'
STANDARD = "import json\nfrom pathlib import Path\n"
OTHERS = "import httpx\nfrom taskiq import AsyncBroker\n"
OWN = "from app.db import session\nfrom app.tasks import (\n    add,\n    multiply,\n)\n"
FILE = f"{HEAD}{STANDARD}\n{OTHERS}\n{OWN}\nx = 1\n"

PLACED = [
    (("warnings", ""), "import json\nimport warnings\nfrom pathlib import Path\n"),
    (("logging", "getLogger"), "import json\nfrom logging import getLogger\nfrom pathlib import Path\n"),
    (("pydantic", "Field"), "import httpx\nfrom pydantic import Field\nfrom taskiq import AsyncBroker\n"),
    (("app.broker", "broker"), "\nfrom app.broker import broker\nfrom app.db import session\n"),
    (("app.worker", "x"), "    multiply,\n)\nfrom app.worker import x\n\nx = 1\n"),
    (("app.tasks", "divide"), "from app.tasks import (\n    add,\n    divide,\n    multiply,\n)\n"),
    (("app.tasks", "Task"), "from app.tasks import (\n    Task,\n    add,\n    multiply,\n)\n"),
    (("__future__", "annotations"), f"{HEAD}from __future__ import annotations\n\nimport json\n"),
]


@pytest.mark.parametrize(("wanted", "expected"), PLACED, ids=str)
def test_an_import_finds_its_place(wanted: tuple[str, str], expected: str) -> None:
    once = with_imports(cst.parse_module(FILE), [wanted], "app")
    assert expected in once.code
    assert with_imports(once, [wanted], "app").code == once.code


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1\n", "from app.db import session\n\nx = 1\n"),
        ("def f():\n    pass\n", "from app.db import session\n\n\ndef f():\n    pass\n"),
        (f"{HEAD}x = 1\n", f"{HEAD}from app.db import session\n\nx = 1\n"),
        ("import json\n\nx = 1\n", "import json\n\nfrom app.db import session\n\nx = 1\n"),
    ],
)
def test_where_there_is_no_other_import_of_its_kind(source: str, expected: str) -> None:
    assert with_imports(cst.parse_module(source), [("app.db", "session")], "app").code == expected


def test_what_was_used_and_is_not_any_more_goes() -> None:
    before = "import json\n\nimport httpx\nimport yaml\nfrom app import x  # noqa\n\njson, httpx\n"
    after = before.replace("json, httpx", "json")
    assert without_unused(before, after) == after.replace("import httpx\n", "")


def test_what_is_exported_stays() -> None:
    source = '__all__ = ["chain"]\n\nfrom celery import chain, group\n'
    assert without_unused(source, source, ["celery"]) == source.replace(", group", "")


def test_a_block_for_type_checkers_that_is_empty_goes() -> None:
    source = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from celery import Task\n\nx = 1\n"
    assert without_unused(source, source, ["celery"]) == "from typing import TYPE_CHECKING\n\nx = 1\n"
