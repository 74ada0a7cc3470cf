"""Case files: canvases with Celery's recorded behaviour. Reading, checking, writing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playbook.oracle.calls import call_of
from playbook.oracle.errors import CaseFileError
from playbook.oracle.notation import Node, NotationError, check

CALL_FIELDS = {"args": list, "kwargs": dict, "options": dict}
OBJECTS = ("expect", "oracle")


@dataclass(frozen=True)
class Case:
    """One canvas and what it is to do.

    Attributes:
        id: its name in the file.
        structure: the canvas, in the notation of `notation`.
        call: arguments of `apply_async`: `args`, `kwargs`, `options`, each of them optional.
        expect: the sane reading.
        oracle: what Celery did.
        raw: the case as it stands in the file.
    """

    id: str
    structure: Node
    call: dict[str, Any]
    expect: dict[str, Any]
    oracle: dict[str, Any]
    raw: dict[str, Any]


@dataclass(frozen=True)
class CaseFile:
    """A file of cases.

    Attributes:
        cases: the cases, in order.
        raw: the file's content.
    """

    cases: tuple[Case, ...]
    raw: dict[str, Any]

    def with_oracles(self, celery: str, oracles: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the content with other recordings, one for each case, of a version of Celery."""
        pairs = zip(self.cases, oracles, strict=True)
        return {
            **self.raw,
            "celery": celery,
            "cases": [{**case.raw, "oracle": oracle} for case, oracle in pairs],
        }


def read_cases(path: Path) -> CaseFile:
    """Read a file of cases.

    Raises:
        CaseFileError: it is not there, is not JSON, or does not follow the format.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CaseFileError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise CaseFileError(f"{path} is not JSON: {error}") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("cases"), list):
        raise CaseFileError(f"{path} must hold an object with a list of cases")
    cases = tuple(_case(path, number, case) for number, case in enumerate(raw["cases"]))
    names = [case.id for case in cases]
    for name in names:
        if names.count(name) > 1:
            raise CaseFileError(f"{path}: two cases are called {name}")
    return CaseFile(cases, raw)


def write_cases(path: Path, content: dict[str, Any]) -> None:
    """Write the content of a case file, one case on each line.

    Raises:
        CaseFileError: the file cannot be written.
    """
    cases = ",\n".join(json.dumps(case, ensure_ascii=False) for case in content["cases"])
    head = {name: value for name, value in content.items() if name != "cases"}
    lines = [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}," for name, value in head.items()]
    text = "\n".join(["{", *lines, '"cases": [', cases, "]", "}", ""])
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CaseFileError(f"{path} cannot be written: {error.strerror}") from None


def _case(path: Path, number: int, raw: Any) -> Case:
    name = raw.get("id") if isinstance(raw, dict) else None
    where = f"{path}: case {name or number}"
    if not isinstance(name, str):
        raise CaseFileError(f"{where} must be an object with an id")
    try:
        check(raw.get("structure"))
    except NotationError as error:
        raise CaseFileError(f"{where}: {error}") from None
    for field in OBJECTS:
        if not isinstance(raw.get(field, {}), dict):
            raise CaseFileError(f"{where}: {field} must be an object")
    given = raw.get("call", {})
    if not isinstance(given, dict) or not all(
        name in CALL_FIELDS and isinstance(value, CALL_FIELDS[name]) for name, value in given.items()
    ):
        raise CaseFileError(f"{where}: call must be an object with args (list), kwargs and options (objects)")
    oracle, expect = raw.get("oracle", {}), raw.get("expect", {})
    call = given or call_of(raw["structure"], raw.get("tags") or [], oracle or expect)
    return Case(name, raw["structure"], call, expect, oracle, raw)
