"""One parsed module: its syntax tree with scopes and positions, and the sites that the inventory looks at.

Parsing and scope analysis are libcst's. One visitor adds what it does not offer: for each site the function,
class and blocks around it, and for each assigned name the expression that it was given.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import libcst as cst
from libcst.helpers import get_full_name_for_node
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider, Scope, ScopeProvider


@dataclass(frozen=True, slots=True)
class Block:
    """A compound statement's branch around a site. `condition` is set for the branches of `if`."""

    kind: Literal["if", "loop", "try", "with", "match"]
    node: cst.CSTNode
    condition: str | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What encloses a site: the innermost function, its qualified name, the innermost class, and the blocks.

    `blocks` are those inside the innermost function, outermost first; `conditions` are the sources of all
    `if`s around the site, also of those around the function.
    """

    function: cst.FunctionDef | cst.Lambda | None = None
    qualname: str = ""
    owner: cst.ClassDef | None = None
    blocks: tuple[Block, ...] = ()
    conditions: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.qualname if self.function is not None else "<module>"

    @property
    def is_async(self) -> bool:
        return isinstance(self.function, cst.FunctionDef) and self.function.asynchronous is not None


@dataclass(frozen=True, slots=True)
class Binding:
    """How a name got a value: assigned, augmented (`value` is the AugAssign), or as an item of `value`."""

    kind: Literal["value", "augmented", "item", "other"]
    value: cst.CSTNode
    context: Context


@dataclass(slots=True, eq=False)
class Source:
    """A parsed module of the application."""

    path: str
    module: str
    is_package: bool
    tree: cst.Module
    positions: dict[cst.CSTNode, tuple[int, int]]
    ends: dict[cst.CSTNode, tuple[int, int]]
    scopes: dict[cst.CSTNode, Scope | None]
    contexts: dict[cst.CSTNode, Context] = field(default_factory=dict)
    bindings: dict[cst.CSTNode, Binding] = field(default_factory=dict)
    attributes: dict[tuple[cst.ClassDef, str], list[cst.CSTNode]] = field(default_factory=dict)
    functions: list[cst.FunctionDef] = field(default_factory=list)
    classes: list[cst.ClassDef] = field(default_factory=list)
    sites: list[cst.CSTNode] = field(default_factory=list)
    returns: dict[cst.FunctionDef, list[cst.BaseExpression]] = field(default_factory=dict)
    mutations: dict[str, list[cst.Call]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)

    def line(self, node: cst.CSTNode) -> int:
        """The 1-based line on which the node starts."""
        return self.positions[node][0]

    def text(self, node: cst.CSTNode) -> str:
        """The source of the node on one line, without comments."""
        code = self.tree.code_for_node(node).strip()
        if "\n" not in code:
            return code
        try:
            return ast.unparse(ast.parse(code, mode="eval"))
        except SyntaxError:
            return " ".join(line.strip() for line in code.splitlines())

    @property
    def global_scope(self) -> Scope | None:
        return self.scopes.get(self.tree)


def parse(path: str, module: str, is_package: bool, text: str) -> Source:
    """Parse a module. Raises libcst.ParserSyntaxError with line and message if it cannot be parsed."""
    wrapper = MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
    ranges: Mapping[cst.CSTNode, CodeRange] = wrapper.resolve(PositionProvider)
    scopes: Mapping[cst.CSTNode, Scope | None] = wrapper.resolve(ScopeProvider)
    source = Source(
        path=path,
        module=module,
        is_package=is_package,
        tree=wrapper.module,
        positions={node: (place.start.line, place.start.column) for node, place in ranges.items()},
        ends={node: (place.end.line, place.end.column) for node, place in ranges.items()},
        scopes=dict(scopes),
    )
    wrapper.module.visit(_Collector(source))
    return source


class _Collector(cst.CSTVisitor):
    """Fill a Source with contexts, bindings and sites."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._stack = [Context()]
        self._names: list[str] = []
        self._skip: set[cst.CSTNode] = set()

    @property
    def _here(self) -> Context:
        return self._stack[-1]

    def _enter(self, context: Context) -> None:
        self._stack.append(context)

    def _site(self, node: cst.CSTNode) -> None:
        if node not in self._skip:
            self._source.sites.append(node)
            self._source.contexts[node] = self._here

    # functions and classes

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        self._skip.add(node.name)
        self._source.functions.append(node)
        self._source.contexts[node] = self._here
        for decorator in node.decorators:
            decorator.visit(self)
        here = self._here
        self._enter(Context(node, self._qualify(node.name.value), here.owner, (), here.conditions))

    def visit_FunctionDef_decorators(self, node: cst.FunctionDef) -> None:
        self._skip.update(node.decorators)

    def visit_Decorator(self, node: cst.Decorator) -> bool:
        return node not in self._skip

    def leave_FunctionDef(self, original_node: cst.FunctionDef) -> None:
        self._stack.pop()

    def visit_Lambda(self, node: cst.Lambda) -> None:
        self._enter(Context(node, self._qualify("<lambda>"), self._here.owner, (), self._here.conditions))

    def leave_Lambda(self, original_node: cst.Lambda) -> None:
        self._stack.pop()

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        self._skip.add(node.name)
        self._source.classes.append(node)
        self._source.contexts[node] = self._here
        here = self._here
        self._enter(
            Context(here.function, self._qualify(node.name.value), node, here.blocks, here.conditions)
        )

    def leave_ClassDef(self, original_node: cst.ClassDef) -> None:
        self._stack.pop()

    def _qualify(self, name: str) -> str:
        here = self._here
        if not here.qualname:
            return name
        return f"{here.qualname}.{name}" if self._in_class_body else f"{here.qualname}.<locals>.{name}"

    @property
    def _in_class_body(self) -> bool:
        owner = self._here.owner
        return owner is not None and self._here.qualname.split(".")[-1] == owner.name.value

    def visit_Param(self, node: cst.Param) -> None:
        self._skip.add(node.name)
        self._source.bindings[node.name] = Binding("other", node, self._here)
        self._source.contexts[node] = self._here

    def visit_Return(self, node: cst.Return) -> None:
        if node.value is not None and isinstance(self._here.function, cst.FunctionDef):
            self._source.returns.setdefault(self._here.function, []).append(node.value)

    # blocks

    def _branch(
        self,
        kind: Literal["if", "loop", "try", "with", "match"],
        node: cst.CSTNode,
        condition: str | None = None,
    ) -> None:
        here = self._here
        conditions = (*here.conditions, condition) if condition else here.conditions
        self._enter(
            Context(
                here.function,
                here.qualname,
                here.owner,
                (*here.blocks, Block(kind, node, condition)),
                conditions,
            )
        )

    def visit_If_body(self, node: cst.If) -> None:
        self._branch("if", node.body, self._source.text(node.test))

    def leave_If_body(self, node: cst.If) -> None:
        self._stack.pop()

    def visit_If_orelse(self, node: cst.If) -> None:
        if node.orelse is not None:
            self._branch("if", node.orelse, f"not ({self._source.text(node.test)})")

    def leave_If_orelse(self, node: cst.If) -> None:
        if node.orelse is not None:
            self._stack.pop()

    def visit_For(self, node: cst.For) -> None:
        self._bind(node.target, node.iter, "item")

    def visit_For_body(self, node: cst.For) -> None:
        self._branch("loop", node)

    def leave_For_body(self, node: cst.For) -> None:
        self._stack.pop()

    def visit_While_body(self, node: cst.While) -> None:
        self._branch("loop", node)

    def leave_While_body(self, node: cst.While) -> None:
        self._stack.pop()

    def visit_Try_body(self, node: cst.Try) -> None:
        self._branch("try", node.body)

    def leave_Try_body(self, node: cst.Try) -> None:
        self._stack.pop()

    def visit_ExceptHandler_body(self, node: cst.ExceptHandler) -> None:
        self._branch("try", node.body)

    def leave_ExceptHandler_body(self, node: cst.ExceptHandler) -> None:
        self._stack.pop()

    def visit_MatchCase_body(self, node: cst.MatchCase) -> None:
        self._branch("match", node.body)

    def leave_MatchCase_body(self, node: cst.MatchCase) -> None:
        self._stack.pop()

    # bindings

    def visit_Assign(self, node: cst.Assign) -> None:
        self._site(node)
        for target in node.targets:
            self._bind(target.target, node.value, "value")

    def visit_AnnAssign(self, node: cst.AnnAssign) -> None:
        self._site(node)
        if node.value is not None:
            self._bind(node.target, node.value, "value")
        elif isinstance(node.target, cst.Name):
            self._skip.add(node.target)

    def visit_NamedExpr(self, node: cst.NamedExpr) -> None:
        self._bind(node.target, node.value, "value")

    def visit_AugAssign(self, node: cst.AugAssign) -> None:
        self._bind(node.target, node, "augmented")
        self._site(node)

    def visit_CompFor(self, node: cst.CompFor) -> None:
        self._bind(node.target, node.iter, "item")

    def visit_WithItem(self, node: cst.WithItem) -> None:
        if node.asname is not None:
            self._bind(node.asname.name, node.item, "value")

    def visit_ExceptHandler(self, node: cst.ExceptHandler) -> None:
        if node.name is not None:
            self._bind(node.name.name, node, "other")

    def _bind(
        self,
        target: cst.BaseExpression,
        value: cst.CSTNode,
        kind: Literal["value", "augmented", "item", "other"],
    ) -> None:
        match target:
            case cst.Name():
                self._skip.add(target)
                self._source.bindings[target] = Binding(kind, value, self._here)
                if self._here.owner is not None and self._in_class_body and kind == "value":
                    self._source.attributes.setdefault((self._here.owner, target.value), []).append(value)
            case cst.Attribute(value=cst.Name(value="self" | "cls")) if self._here.owner is not None:
                self._skip.add(target)
                if kind == "value":
                    self._source.attributes.setdefault((self._here.owner, target.attr.value), []).append(
                        value
                    )
            case cst.Tuple() | cst.List():
                values = value.elements if isinstance(value, cst.Tuple | cst.List) else ()
                paired = kind == "value" and len(values) == len(target.elements)
                for index, element in enumerate(target.elements):
                    if paired:
                        self._bind(element.value, values[index].value, "value")
                    else:
                        self._bind(element.value, value, "other")

    # sites

    def visit_Import(self, node: cst.Import) -> bool:
        self._site(node)
        return False

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        self._site(node)
        if isinstance(node.names, cst.ImportStar):
            dots = "." * len(node.relative)
            target = get_full_name_for_node(node.module) if node.module else ""
            self._source.stars.append(dots + (target or ""))
        return False

    def visit_Call(self, node: cst.Call) -> None:
        self._site(node)
        match node.func:
            case cst.Attribute(
                value=cst.Name(value=name), attr=cst.Name(value="append" | "extend" | "insert")
            ):
                self._source.mutations.setdefault(name, []).append(node)

    def visit_Arg(self, node: cst.Arg) -> None:
        if node.keyword is not None:
            self._skip.add(node.keyword)

    def visit_BinaryOperation(self, node: cst.BinaryOperation) -> None:
        if isinstance(node.operator, cst.BitOr):
            self._site(node)

    def visit_Subscript(self, node: cst.Subscript) -> None:
        self._site(node)

    def visit_Attribute(self, node: cst.Attribute) -> bool:
        self._site(node)
        self._skip.add(node.attr)
        inner = node.value
        while isinstance(inner, cst.Attribute):
            self._skip.update((inner, inner.attr))
            inner = inner.value
        if isinstance(inner, cst.Name):
            self._skip.add(inner)
            return False
        return True

    def visit_Name(self, node: cst.Name) -> None:
        self._site(node)

    def visit_Dict(self, node: cst.Dict) -> None:
        self._site(node)

    def visit_SimpleString(self, node: cst.SimpleString) -> None:
        self._site(node)


def arguments(call: cst.Call) -> tuple[list[cst.Arg], dict[str, cst.BaseExpression]]:
    """Split a call's arguments into positional ones (starred ones included) and keyword ones."""
    positional = [arg for arg in call.args if arg.keyword is None and arg.star != "**"]
    return positional, {arg.keyword.value: arg.value for arg in call.args if arg.keyword is not None}


def literal_value(text: str) -> object:
    """The JSON value of a literal's source; the source itself if it is no literal of JSON types."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = ast.literal_eval(text)
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


def dotted(node: cst.CSTNode) -> Iterator[str]:
    """Yield the segments of a name or attribute chain, outermost object first; else nothing."""
    match node:
        case cst.Name(value=name):
            yield name
        case cst.Attribute(value=value, attr=attr):
            yield from dotted(value)
            yield attr.value


def named_values(node: cst.CSTNode) -> Iterator[tuple[str, cst.BaseExpression]]:
    """Yield what an assignment, a call's keywords or a dict's keys give a name: name and expression."""
    match node:
        case cst.Assign():
            for target in node.targets:
                yield _last_name(target.target), node.value
        case cst.AnnAssign(target=target, value=cst.BaseExpression() as value):
            yield _last_name(target), value
        case cst.Call():
            for arg in node.args:
                if arg.keyword is not None:
                    yield arg.keyword.value, arg.value
        case cst.Dict():
            for element in node.elements:
                key = element.key if isinstance(element, cst.DictElement) else None
                if isinstance(key, cst.SimpleString):
                    yield str(key.evaluated_value), element.value


def _last_name(node: cst.CSTNode) -> str:
    match node:
        case cst.Name(value=name) | cst.Attribute(attr=cst.Name(value=name)):
            return name
        case cst.Subscript(slice=[cst.SubscriptElement(slice=cst.Index(value=cst.SimpleString() as key))]):
            return str(key.evaluated_value)
    return ""
