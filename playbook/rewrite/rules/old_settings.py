"""The settings' old names keep working, and say which is the name now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m

from playbook.rewrite.placed import with_imports
from playbook.rewrite.rule import Outcome, Refusal, code_of, parse
from playbook.rewrite.rules.settings_fields import _field_name, _indented, _SettingsClasses

DEPRECATED = "Deprecated names, for those who still set them: {new} is the name now."

SHARED = " (None: the one Celery uses)"
"""What the comment says in dual mode."""

METHOD = "_heed_old_names"
TEMPLATE = '''@model_validator(mode="after")
def {method}(self) -> "{cls}":
    """Let the old names count where they are still set, and say so."""
    for name in {names}:
        if getattr(self, name) is not None:
            warnings.warn(f"{{name}} is deprecated, set {new}", FutureWarning, stacklevel=2)
    if self.{old} is not None and "{new}" not in self.model_fields_set:
        self.{new} = self.{old}
    return self
'''


@dataclass(frozen=True)
class OldSettings:
    """`CELERY_BROKER_URL: str = "redis://..."` becomes `CELERY_BROKER_URL: str | None = None`, a deprecated
    name: where it is set and `TASKIQ_REDIS_URL` is not, it counts, with a warning.

    `TASKIQ_REDIS_URL` gets the old name's default. Fields of the dual-mode time go.

    Attributes:
        new: the name now.
        old: the old names; the first one's value counts.
        gone: fields that nothing reads any more.
    """

    new: str
    old: Sequence[str]
    gone: Sequence[str] = ()

    def apply(self, source: str) -> Outcome:
        """Rewrite the settings class of one file."""
        wrapper = parse(source)
        visitor = _SettingsClasses()
        wrapper.visit(visitor)
        if len(visitor.found) != 1:
            reason = f"no single class derived from BaseSettings here; let {self.new} take the place of "
            return Outcome(source, (Refusal(1, "settings", reason + ", ".join(self.old) + " by hand"),))
        target = visitor.found[0]
        if m.findall(target, m.FunctionDef(name=m.Name(METHOD))):
            return Outcome(source)
        fields = {_field_name(line): line for line in target.body.body if _field_name(line)}
        present = [name for name in self.old if name in fields]
        if self.old[0] not in present or self.new not in fields:
            reason = (
                f"the class has no {self.new} or no {self.old[0]}; do by hand what the broker module reads"
            )
            return Outcome(source, (Refusal(1, "settings", reason),))
        default = _value(fields[self.old[0]])
        changed = cst.ensure_type(wrapper.module.visit(_Rewrite(self, target, present, default)), cst.Module)
        wanted = [("warnings", ""), ("pydantic", "model_validator")]
        return Outcome(with_imports(changed, wanted, "").code)


def _without_celery(space: cst.EmptyLine) -> cst.EmptyLine:
    if space.comment is None:
        return space
    return space.with_deep_changes(space.comment, value=space.comment.value.replace(SHARED, ""))


def _value(line: cst.CSTNode) -> cst.BaseExpression:
    part = cst.ensure_type(cst.ensure_type(line, cst.SimpleStatementLine).body[0], cst.AnnAssign)
    return part.value or cst.Name("None")


class _Rewrite(cst.CSTTransformer):
    def __init__(
        self, rule: OldSettings, target: cst.ClassDef, old: list[str], default: cst.BaseExpression
    ) -> None:
        super().__init__()
        self.rule, self.target, self.old, self.default = rule, target, old, default

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.ClassDef:
        if original_node is not self.target:
            return updated_node
        kept, moved = [], []
        for line in updated_node.body.body:
            name = _field_name(line)
            if name in self.old:
                moved.append(line)
            elif name == self.rule.new:
                kept.append(self._new_field(line))
            elif name not in self.rule.gone:
                kept.append(line)
        body = [*kept, *self._old_fields(), self._method(updated_node.name.value)]
        return updated_node.with_changes(body=updated_node.body.with_changes(body=body))

    def _new_field(self, line: cst.CSTNode) -> cst.CSTNode:
        statement = cst.parse_statement(f"{self.rule.new}: str = {code_of(self.default)}\n")
        above = [
            _without_celery(space) for space in cst.ensure_type(line, cst.SimpleStatementLine).leading_lines
        ]
        return statement.with_changes(leading_lines=above)

    def _old_fields(self) -> list[cst.CSTNode]:
        """The deprecated names, after all others."""
        lines = [f"{name}: str | None = None\n" for name in self.old]
        lines[0] = f"\n# {DEPRECATED.format(new=self.rule.new)}\n{lines[0]}"
        module = cst.parse_module("pass\n" + "".join(lines))
        return [_indented(statement) for statement in module.body[1:]]

    def _method(self, cls: str) -> cst.CSTNode:
        names = "({})".format(
            ", ".join(f'"{name}"' for name in self.old) + ("," if len(self.old) == 1 else "")
        )
        code = TEMPLATE.format(method=METHOD, cls=cls, names=names, new=self.rule.new, old=self.old[0])
        return cst.parse_statement(code).with_changes(leading_lines=[cst.EmptyLine(indent=False)])
