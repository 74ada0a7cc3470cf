"""Celery's beat shares its slots with TaskIQ's scheduler."""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m
from libcst.metadata import PositionProvider

from playbook.rewrite.rule import Outcome, Refusal, parse

SETTING = "beat_scheduler"


@dataclass(frozen=True)
class SharedBeat:
    """The Celery app gets `beat_scheduler`: beat's own scheduler, which claims the slots that TaskIQ knows.

    The line follows the last statement that configures the app. The schedule stays byte for byte as it was.

    Attributes:
        app: name of the variable that holds the Celery app.
        scheduler: `module:class` of the scheduler.
    """

    app: str
    scheduler: str

    def apply(self, source: str) -> Outcome:
        """Add the setting to the file that makes the Celery app."""
        wrapper = parse(source)
        module = wrapper.module
        positions = wrapper.resolve(PositionProvider)
        line = f'{self.app}.conf.{SETTING} = "{self.scheduler}"\n'
        present = [node for node in m.findall(module, m.Name(SETTING)) if isinstance(node, cst.Name)]
        if present:
            if line in source:
                return Outcome(source)
            reason = (
                f"beat has a scheduler of its own; claims must be made there: derive it from {self.scheduler}"
            )
            return Outcome(source, (Refusal(positions[present[0]].start.line, SETTING, reason),))
        places = [i for i, statement in enumerate(module.body) if self._configures(statement)]
        if not places:
            reason = f"no `{self.app}` is made at the top level of this file; set {line.strip()} by hand"
            return Outcome(source, (Refusal(1, "Celery app", reason),))
        new = cst.parse_statement(line)
        body = [*module.body[: places[-1] + 1], new, *module.body[places[-1] + 1 :]]
        return Outcome(module.with_changes(body=body).code)

    def _configures(self, statement: cst.CSTNode) -> bool:
        """Tell whether a top-level statement makes the app or touches its configuration."""
        if isinstance(statement, (cst.FunctionDef, cst.ClassDef)):
            return False
        made = m.AssignTarget(target=m.Name(self.app))
        if m.findall(statement, made):
            return True
        attribute = m.Attribute(m.Name(self.app), m.Name("conf") | m.Name("config_from_object"))
        return bool(m.findall(statement, attribute))
