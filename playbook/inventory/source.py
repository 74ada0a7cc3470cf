"""One parsed module: its syntax tree, its scopes, and the sites that the inventory looks at.

The parser is that of the running Python. It is many times as fast as a lossless one, which matters where the
files that mention Celery are long, and nothing here needs the whitespace.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from playbook import syntax

Function = ast.FunctionDef | ast.AsyncFunctionDef
ScopeKind = Literal["module", "function", "class", "comprehension"]


@dataclass(frozen=True, slots=True)
class Block:
    """A compound statement's branch around a site. `condition` is set for the branches of `if`."""

    kind: Literal["if", "loop", "try", "match"]
    node: ast.AST
    condition: str | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What encloses a site: the innermost function, its qualified name, the innermost class, and the blocks.

    `blocks` are those inside the innermost function, outermost first; `conditions` are the sources of all
    `if`s around the site, also of those around the function.
    """

    function: Function | ast.Lambda | None = None
    qualname: str = ""
    owner: ast.ClassDef | None = None
    in_class_body: bool = False
    blocks: tuple[Block, ...] = ()
    conditions: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.qualname if self.function is not None else "<module>"

    @property
    def is_async(self) -> bool:
        return isinstance(self.function, ast.AsyncFunctionDef)

    def qualify(self, name: str) -> str:
        """The `__qualname__` of what is defined here under this name."""
        if not self.qualname:
            return name
        return f"{self.qualname}.{name}" if self.in_class_body else f"{self.qualname}.<locals>.{name}"


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """How a name got a value in a scope.

    `node` is where the name stands. `value` is the expression of a plain assignment, the AugAssign of an
    augmented one, the iterable of a loop; `target` the dotted name of an import, with its leading dots.
    """

    kind: Literal["import", "function", "class", "parameter", "value", "augmented", "item", "other"]
    node: ast.AST
    scope: Scope
    context: Context
    value: ast.AST | None = None
    target: str = ""


@dataclass(slots=True, eq=False)
class Scope:
    """The names of a module, function, class or comprehension."""

    kind: ScopeKind
    parent: Scope | None = None
    names: dict[str, list[Binding]] = field(default_factory=dict)

    def find(self, name: str) -> list[Binding]:
        """The bindings of a name that code in this scope sees; a class is invisible to what it encloses."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names and (scope is self or scope.kind != "class"):
                return scope.names[name]
            scope = scope.parent
        return []

    @property
    def home(self) -> Scope:
        """The scope that statements belong to: a comprehension's is the one around it."""
        return self.parent.home if self.kind == "comprehension" and self.parent is not None else self


@dataclass(slots=True, eq=False)
class Source:
    """A parsed module of the application."""

    path: str
    module: str
    is_package: bool
    tree: ast.Module
    lines: list[bytes]
    scope: Scope = field(default_factory=lambda: Scope("module"))
    scopes: dict[ast.AST, Scope] = field(default_factory=dict)
    contexts: dict[ast.AST, Context] = field(default_factory=dict)
    attributes: dict[tuple[ast.ClassDef, str], list[ast.expr]] = field(default_factory=dict)
    functions: list[Function] = field(default_factory=list)
    classes: list[ast.ClassDef] = field(default_factory=list)
    sites: list[ast.AST] = field(default_factory=list)
    returns: dict[ast.AST, list[ast.expr]] = field(default_factory=dict)
    mutations: dict[str, list[ast.Call]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)

    def line(self, node: ast.AST) -> int:
        """The 1-based line on which the node starts; for a function the line of its `def`."""
        return start(node)[0]

    def text(self, node: ast.AST) -> str:
        """The source of the node on one line, without comments."""
        (line, column), (last, end) = start(node), stop(node)
        if line != last or isinstance(node, ast.Import | ast.ImportFrom):
            return ast.unparse(node)
        return self.lines[line - 1][column:end].decode("utf-8")


def start(node: ast.AST) -> tuple[int, int]:
    """Line (from 1) and column at which a node starts."""
    return getattr(node, "lineno", 1), getattr(node, "col_offset", 0)


def stop(node: ast.AST) -> tuple[int, int]:
    """Line (from 1) and column at which a node ends."""
    return getattr(node, "end_lineno", None) or 1, getattr(node, "end_col_offset", None) or 0


def arguments(call: ast.Call) -> tuple[list[ast.expr], dict[str, ast.expr]]:
    """Split a call's arguments into positional ones (starred ones included) and keyword ones."""
    return call.args, {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}


def literal_value(text: str) -> object:
    """The JSON value of a literal's source; the source itself if it is no literal of JSON types."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = syntax.literal(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return _jsonable(value, text)


def _jsonable(value: object, text: str) -> object:
    match value:
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case list() | tuple():
            return [_jsonable(item, repr(item)) for item in value]
        case dict() if all(isinstance(key, str) for key in value):
            return {key: _jsonable(item, repr(item)) for key, item in value.items()}
    return text


def dotted(node: ast.AST) -> Iterator[str]:
    """Yield the segments of a name or attribute chain, outermost object first; else nothing."""
    match node:
        case ast.Name(id=name):
            yield name
        case ast.Attribute(value=value, attr=attr):
            yield from dotted(value)
            yield attr


def named_values(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield what an assignment, a call's keywords or a dict's keys give a name: name and expression."""
    match node:
        case ast.Assign():
            for target in node.targets:
                yield _last_name(target), node.value
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            yield _last_name(target), value
        case ast.Call():
            yield from arguments(node)[1].items()
        case ast.Dict():
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant):
                    yield str(key.value), value


def _last_name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
    return ""
