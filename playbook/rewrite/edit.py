"""What the phases' slices are made with: a tree under change, and what was refused on the way."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath

import libcst as cst

from playbook.config import Application
from playbook.contracts import Refusal, Slice
from playbook.errors import ConfigError
from playbook.rewrite.rule import Rule, code_of
from playbook.rewrite.rules.absolute_imports import AbsoluteImports
from playbook.rewrite.rules.env_example import EnvExample
from playbook.rewrite.rules.settings_fields import SettingsFields
from playbook.tree import Tree

SCAFFOLD = Path(__file__).parent.parent / "scaffold"
ENV_EXAMPLES = ("env.example", ".env.example", ".env.sample", ".env.template")


class Edit:
    """The tree under change.

    Attributes:
        application: what is migrated.
        worker: the package that holds the worker modules.
        tree: the files as they are by now.
        refusals: what was refused so far.
    """

    def __init__(self, application: Application, tree: Tree) -> None:
        """Begin with a tree.

        Raises:
            ConfigError: `playbook.toml` names a broker that a slice cannot make.
        """
        module = application.broker.partition(":")[0]
        self.worker = module.rpartition(".")[0]
        if application.broker != f"{self.worker}.broker:broker" or not self.worker:
            raise ConfigError(
                f"application.broker = {application.broker!r}: name it PACKAGE.broker:broker, "
                "in the package that is to hold the worker modules"
            )
        self.application = application
        self.tree = tree
        self.refusals: list[Refusal] = []

    def done(self) -> Slice:
        """Return the slice."""
        return Slice(self.tree, tuple(self.refusals))

    def apply(self, path: str, rule: Rule) -> bool:
        """Apply a rule to one file; a file that is missing or not Python is refused.

        Returns:
            Whether the rule could look at the file.
        """
        if path not in self.tree:
            self.refuse(path, 1, "file", f"it does not exist; {type(rule).__name__} had no effect")
            return False
        try:
            outcome = rule.apply(self.tree[path])
        except cst.ParserSyntaxError as error:
            self.refuse(path, error.raw_line, "file", f"libcst cannot parse it: {error.message}")
            return False
        for refusal in outcome.refusals:
            self.refuse(path, refusal.line, refusal.construct, refusal.reason)
        self.tree = self.tree.with_file(path, outcome.source)
        return True

    def copy(self, module: str) -> None:
        """Copy a scaffold module into the worker package, unless something else is there."""
        path = self.application.module_path(f"{self.worker}.{module}")
        text = scaffold_module(module, self.worker)
        if self.tree.get(path, text) != text:
            return self.refuse(path, 1, "file", "the application has a file of this name; rename that one")
        self.tree = self.tree.with_file(path, text)

    def add_settings(self, fields: str) -> None:
        """Add fields to the application's settings, and to its example of an environment file."""
        self.apply(f"{self.application.root}/settings.py", SettingsFields(fields))
        for path in self.files():
            if PurePosixPath(path).name in ENV_EXAMPLES:
                self.apply(path, EnvExample(fields))

    def files(self, *suffixes: str) -> Iterator[str]:
        """Yield the paths of the application's own files, without tests and scaffold modules."""
        root = PurePosixPath(self.application.root)
        copied = {
            self.application.module_path(f"{self.worker}.{file.stem}")
            for file in (SCAFFOLD / "worker").glob("*.py")
            if file.stem != "__init__"
        }
        for path in list(self.tree):
            own = PurePosixPath(path).is_relative_to(root) and path not in copied
            if own and path.endswith(suffixes or ("",)):
                yield path

    def module_of(self, path: str) -> str:
        """Return the dotted name of a Python file: `pkg/a/b.py` -> `pkg.a.b`."""
        above = PurePosixPath(self.application.root).parent
        parts = PurePosixPath(path).relative_to(above).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def refuse(self, path: str, line: int, construct: str, reason: str) -> None:
        """Note, once, that something was left as it is."""
        refusal = Refusal(path, line, construct, reason)
        if refusal not in self.refusals:
            self.refusals.append(refusal)


@lru_cache
def scaffold_module(module: str, worker: str) -> str:
    """Return the source of a module of the runtime, as it stands in a package of worker modules."""
    source = (SCAFFOLD / "worker" / f"{module}.py").read_text(encoding="utf-8")
    return AbsoluteImports(worker).apply(source).source


def settings_fields(prefix: str, but: str | None = None) -> str:
    """Return the fields of the scaffold's settings whose names begin so, with their comments.

    Args:
        prefix: the beginning of the names.
        but: the beginning of names to leave out.
    """
    module = cst.parse_module((SCAFFOLD / "settings.py").read_text(encoding="utf-8"))
    (settings,) = (node for node in module.body if isinstance(node, cst.ClassDef))
    lines = []
    for node in settings.body.body:
        line = cst.ensure_type(node, cst.SimpleStatementLine) if _is_field(node) else None
        if line is None:
            continue
        name = code_of(cst.ensure_type(line.body[0], cst.AnnAssign).target)
        if name.startswith(prefix) and not (but and name.startswith(but)):
            lines.append(code_of(line))
    return "".join(lines)


def _is_field(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.SimpleStatementLine) and isinstance(node.body[0], cst.AnnAssign)
