"""Parse a module; one walk through its syntax tree collects scopes, contexts, bindings and sites."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable
from typing import Literal

from playbook import syntax
from playbook.inventory.source import Binding, Block, Context, Function, Scope, ScopeKind, Source

Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Kind = Literal["import", "function", "class", "parameter", "value", "augmented", "item", "other"]


def parse(path: str, module: str, is_package: bool, text: str) -> Source:
    """Parse a module. Raises SyntaxError with line and message if this Python cannot parse it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = syntax.parse(text)
    lines = [line.encode("utf-8") for line in text.split("\n")]
    source = Source(path=path, module=module, is_package=is_package, tree=tree, lines=lines)
    _Collector(source).visit(tree)
    return source


class _Collector(ast.NodeVisitor):
    """Visits parents before children and in the order of the source."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._here = Context()
        self._scope = source.scope
        self._declared: dict[tuple[Scope, str], Scope] = {}

    def _site(self, node: ast.AST) -> None:
        self._source.sites.append(node)
        self._source.contexts[node] = self._here

    def _visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def _inside(self, nodes: Iterable[ast.AST], context: Context, scope: Scope | None = None) -> None:
        """Visit nodes in another context, and in another scope if one is given."""
        outer = self._here, self._scope
        self._here, self._scope = context, scope or self._scope
        self._visit_all(nodes)
        self._here, self._scope = outer

    # functions and classes

    def visit_FunctionDef(self, node: Function) -> None:
        self._source.functions.append(node)
        self._source.contexts[node] = self._here
        self._visit_all(node.decorator_list)
        self._bind(node.name, Binding("function", node, self._scope, self._here))
        if node.returns is not None:
            self.visit(node.returns)
        here = self._here
        inner = Context(node, here.qualify(node.name), here.owner, False, (), here.conditions)
        self._body(node.args, node.body, inner)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        here = self._here
        inner = Context(node, here.qualify("<lambda>"), here.owner, False, (), here.conditions)
        self._body(node.args, [node.body], inner)

    def _body(self, args: ast.arguments, body: Iterable[ast.AST], inner: Context) -> None:
        scope = Scope("function", self._scope)
        for parameter in (*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg):
            if parameter is not None:
                if parameter.annotation is not None:
                    self.visit(parameter.annotation)
                scope.names[parameter.arg] = [Binding("parameter", parameter, scope, inner)]
        self._visit_all(default for default in (*args.defaults, *args.kw_defaults) if default is not None)
        self._inside(body, inner, scope)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._source.classes.append(node)
        self._source.contexts[node] = here = self._here
        self._visit_all([*node.decorator_list, *node.bases, *node.keywords])
        self._bind(node.name, Binding("class", node, self._scope, here))
        inner = Context(here.function, here.qualify(node.name), node, True, here.blocks, here.conditions)
        self._inside(node.body, inner, Scope("class", self._scope))

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and self._here.function is not None:
            self._source.returns.setdefault(self._here.function, []).append(node.value)
        self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        for name in node.names:
            self._declared[self._scope, name] = self._source.scope

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        for name in node.names:
            found = self._scope.parent.find(name) if self._scope.parent is not None else []
            self._declared[self._scope, name] = found[0].scope if found else self._scope

    # blocks

    def _branch(self, nodes: Iterable[ast.AST], block: Block) -> None:
        here = self._here
        conditions = (*here.conditions, block.condition) if block.condition else here.conditions
        inner = Context(
            here.function, here.qualname, here.owner, here.in_class_body, (*here.blocks, block), conditions
        )
        self._inside(nodes, inner)

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        test = self._source.text(node.test)
        self._branch(node.body, Block("if", node, test))
        self._branch(node.orelse, Block("if", node, f"not ({test})"))

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self._assign(node.target, node.iter, "item")
        self._branch(node.body, Block("loop", node))
        self._visit_all(node.orelse)

    visit_AsyncFor = visit_For  # noqa: N815

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        self._branch(node.body, Block("loop", node))
        self._visit_all(node.orelse)

    def visit_Try(self, node: ast.Try | ast.TryStar) -> None:
        self._branch(node.body, Block("try", node))
        for handler in node.handlers:
            if handler.type is not None:
                self.visit(handler.type)
            if handler.name is not None:
                self._bind(handler.name, Binding("other", handler, self._scope, self._here))
            self._branch(handler.body, Block("try", handler))
        self._branch(node.orelse, Block("try", node))
        self._visit_all(node.finalbody)

    visit_TryStar = visit_Try  # noqa: N815

    def visit_match_case(self, node: ast.match_case) -> None:
        self.visit(node.pattern)
        if node.guard is not None:
            self.visit(node.guard)
        self._branch(node.body, Block("match", node))

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        if node.name is not None:
            self._bind(node.name, Binding("other", node, self._scope, self._here))
        self.generic_visit(node)

    # bindings

    def _bind(self, name: str, binding: Binding) -> None:
        scope = self._declared.get((binding.scope, name), binding.scope)
        scope.names.setdefault(name, []).append(binding)

    def _assign(self, target: ast.expr, value: ast.AST, kind: Kind) -> None:
        match target:
            case ast.Name(id=name):
                self._source.scopes[target] = self._scope
                self._source.contexts[target] = self._here
                self._bind(name, Binding(kind, target, self._scope, self._here, value))
                if self._here.in_class_body and kind == "value":
                    self._attribute(name, value)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name) if self._here.owner is not None:
                if kind == "value":
                    self._attribute(name, value)
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                values = value.elts if isinstance(value, ast.Tuple | ast.List) else []
                paired = kind == "value" and len(values) == len(targets)
                for index, element in enumerate(targets):
                    self._assign(element, values[index] if paired else value, "value" if paired else "other")
            case ast.Starred(value=inner):
                self._assign(inner, value, "other")
            case _:
                self.visit(target)

    def _attribute(self, name: str, value: ast.AST) -> None:
        if isinstance(value, ast.expr) and self._here.owner is not None:
            self._source.attributes.setdefault((self._here.owner, name), []).append(value)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._site(node)
        for target in node.targets:
            self._assign(target, node.value, "value")
        self.visit(node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._site(node)
        self.visit(node.annotation)
        if node.value is not None:
            self._assign(node.target, node.value, "value")
            self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._site(node)
        self._assign(node.target, node, "augmented")
        self.visit(node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        scope, self._scope = self._scope, self._scope.home
        self._assign(node.target, node.value, "value")
        self._scope = scope
        self.visit(node.value)

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            self.visit(item.context_expr)
            if item.optional_vars is not None:
                self._assign(item.optional_vars, item.context_expr, "value")
        self._visit_all(node.body)

    visit_AsyncWith = visit_With  # noqa: N815

    def _comprehension(self, node: Comprehension) -> None:
        kind: ScopeKind = "comprehension"
        outer, self._scope = self._scope, Scope(kind, self._scope)
        for generator in node.generators:
            self.visit(generator.iter)
            self._assign(generator.target, generator.iter, "item")
            self._visit_all(generator.ifs)
        self._visit_all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])
        self._scope = outer

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815

    # sites

    def visit_Import(self, node: ast.Import) -> None:
        self._site(node)
        for alias in node.names:
            name = alias.asname or alias.name.split(".")[0]
            target = alias.name if alias.asname else name
            self._bind(name, Binding("import", alias, self._scope, self._here, target=target))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._site(node)
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            if alias.name == "*":
                self._source.stars.append(module)
                continue
            target = f"{module}{alias.name}" if module.endswith(".") else f"{module}.{alias.name}"
            name = alias.asname or alias.name
            self._bind(name, Binding("import", alias, self._scope, self._here, target=target))

    def visit_Call(self, node: ast.Call) -> None:
        self._site(node)
        match node.func:
            case ast.Attribute(value=ast.Name(id=name), attr="append" | "extend" | "insert"):
                self._source.mutations.setdefault(name, []).append(node)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.BitOr):
            self._site(node)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._site(node)
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        self._site(node)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Of a chain of attributes only the whole is a site."""
        self._site(node)
        inner = node.value
        while isinstance(inner, ast.Attribute):
            self._source.contexts[inner] = self._here
            inner = inner.value
        if isinstance(inner, ast.Name):
            self._source.scopes[inner] = self._scope
            self._source.contexts[inner] = self._here
        else:
            self.visit(inner)

    def visit_Name(self, node: ast.Name) -> None:
        self._source.scopes[node] = self._scope
        self._site(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self._site(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._visit_all(part for part in node.values if isinstance(part, ast.FormattedValue))
