"""What the tests of two trees assert, and what lies between them. Pure: reads source, runs nothing.

Counted are `assert` statements, `pytest.raises` and its kin, the assertions of mocks and of unittest; and
what keeps a test from running: skips, expected failures, ignored files.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from playbook.syntax import parse

Kind = Literal["removed", "weakened", "skipped", "changed", "added"]

RAISES = {"raises", "warns", "deprecated_call"}
FAILS = {"pytest.fail", "self.fail"}
SKIPS = {"skip", "skipif", "skipIf", "skipUnless", "xfail", "expectedFailure", "importorskip", "SkipTest"}
IGNORING = {"collect_ignore", "collect_ignore_glob", "__test__"}
HOOKS = {"pytest_collection_modifyitems", "pytest_ignore_collect", "pytest_runtest_setup"}
MODULE = "<module>"


@dataclass(frozen=True)
class Function:
    """A function of a test file, or what stands around the functions (`<module>`, or a class).

    Attributes:
        assertions: each assertion as text, in order.
        skips: each construct as text that keeps tests from running.
        code: all of it, without comments and layout.
    """

    assertions: tuple[str, ...]
    skips: tuple[str, ...]
    code: str


@dataclass(frozen=True)
class Finding:
    """A difference between the tests of two trees.

    Attributes:
        path: the file.
        name: the function, with its class; `<module>` for what stands outside.
        kind: what happened to it.
        before: what stood there, empty if nothing.
        after: what stands there now.
        explained: why it may be so; empty: nothing explains it.
    """

    path: str
    name: str
    kind: Kind
    before: str
    after: str
    explained: str = ""


Suite = Mapping[str, Mapping[str, Function]]
"""Functions by path and name."""


def read_suite(files: Mapping[str, str]) -> Suite:
    """Return the functions of test files.

    Args:
        files: source by path.

    Raises:
        SyntaxError: a file is not Python of this version.
    """
    return {path: functions(parse(text, path)) for path, text in files.items()}


def functions(module: ast.Module) -> dict[str, Function]:
    """Return the functions of a file by name; one that is defined again under its name gets a number."""
    found: dict[str, Function] = {}
    for name, nodes in _parts(module.body, "", [MODULE]):
        number = sum(known.partition("#")[0] == name for known in found)
        found[f"{name}#{number + 1}" if number else name] = _function(nodes)
    return found


def counts(suite: Suite) -> Counter[str]:
    """Return how many test functions, assertions and skips there are."""
    total: Counter[str] = Counter()
    for path, named in suite.items():
        total["files"] += 1
        for name, function in named.items():
            total["test functions"] += _is_test(path, name)
            total["assertions"] += len(function.assertions)
            total["skips"] += len(function.skips)
    return total


def compare(before: Suite, after: Suite, by_rule: Suite) -> list[Finding]:
    """Return what lies between the tests of before and those of now.

    Args:
        before: the tests before the migration.
        after: the tests now.
        by_rule: the tests as the rules alone make them of `before`. A change is explained if they make it.
            A test or an assertion that is gone, and a skip that is new, are never explained.
    """
    found = []
    places = {(file, name) for suite in (before, after) for file, named in suite.items() for name in named}
    for path, name in sorted(places):
        old, new = before.get(path, {}).get(name), after.get(path, {}).get(name)
        rule = by_rule.get(path, {}).get(name)
        if old != new:
            found += list(_differences(path, name, old, new, "a rule does it" if new == rule else ""))
    return found


def unexplained(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that weaken the tests, or may: all that neither a rule explains nor only adds."""
    return [one for one in findings if not one.explained and one.kind != "added"]


def _differences(
    path: str, name: str, old: Function | None, new: Function | None, explained: str
) -> Iterator[Finding]:
    if old is None:
        assert new is not None
        if new.skips:
            yield Finding(path, name, "skipped", "", "; ".join(new.skips))
        # A function that takes a fixture's name, or a hook, can change other tests.
        kind: Kind = "added" if _is_test(path, name) else "changed"
        yield Finding(path, name, kind, "", _head(new), explained)
        return
    if new is None:
        gone = f"{_head(old)} with {len(old.assertions)} assertions"
        yield Finding(path, name, "removed", gone, "")
        return
    if more := list((Counter(new.skips) - Counter(old.skips)).elements()):
        yield Finding(path, name, "skipped", "", "; ".join(more))
    gone_ones = list((Counter(old.assertions) - Counter(new.assertions)).elements())
    new_ones = list((Counter(new.assertions) - Counter(old.assertions)).elements())
    if gone_ones:
        fewer = len(new.assertions) < len(old.assertions)
        reason = "" if fewer else explained
        yield Finding(path, name, "weakened", "; ".join(gone_ones), "; ".join(new_ones), reason)
    elif not more:
        yield Finding(path, name, "changed", _lines(old, new), _lines(new, old), explained)


def _lines(function: Function, other: Function) -> str:
    """The lines that only one of two functions has."""
    more = Counter(function.code.splitlines()) - Counter(other.code.splitlines())
    return "; ".join(line.strip() for line in more.elements())


def _head(function: Function) -> str:
    return function.code.partition("\n")[0]


def _is_test(path: str, name: str) -> bool:
    return path.rpartition("/")[2].startswith("test") and name.rpartition(".")[2].startswith("test")


def _parts(body: list[ast.stmt], prefix: str, own: list[str]) -> Iterator[tuple[str, list[ast.AST]]]:
    """Yield each function of a body, those of its classes, and the rest of it under its own name."""
    rest: list[ast.AST] = []
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{node.name}", [node]
        elif isinstance(node, ast.ClassDef):
            rest += [*node.decorator_list, *node.bases]
            yield from _parts(node.body, f"{prefix}{node.name}.", [f"{prefix}{node.name}"])
        else:
            rest.append(node)
    yield own[0], rest


def _function(nodes: list[ast.AST]) -> Function:
    every = [inner for node in nodes for inner in ast.walk(node)]
    assertions = [ast.unparse(node) for node in every if _asserts(node)]
    skips = [ast.unparse(node) for node in every if _skips(node)]
    return Function(tuple(assertions), tuple(skips), "\n".join(ast.unparse(node) for node in nodes))


def _asserts(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert):
        return True
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func)
    name = called.rpartition(".")[2]
    return name in RAISES or called in FAILS or name.startswith("assert")


def _skips(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in SKIPS
    if isinstance(node, ast.Name):
        return node.id in SKIPS or (node.id in IGNORING and isinstance(node.ctx, ast.Store))
    return isinstance(node, ast.FunctionDef) and node.name in HOOKS
