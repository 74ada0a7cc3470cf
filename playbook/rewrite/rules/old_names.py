"""Example environments and compose files set the new names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from playbook.rewrite.rule import Outcome
from playbook.rewrite.rules.old_settings import SHARED


@dataclass(frozen=True)
class OldNames:
    """`CELERY_BROKER_URL=redis://...` becomes `TASKIQ_REDIS_URL=redis://...`; in YAML the same with a colon.

    Lines of the other old names go, and of names that nothing reads any more, with a comment that is about
    nothing else. With `keep`, a file that lists all names gets the old ones again, commented out.

    Attributes:
        new: the name now.
        old: the old names; the first one's value counts.
        gone: names that nothing reads any more.
        keep: the comment above the old names; empty: they are not listed.
    """

    new: str
    old: Sequence[str]
    gone: Sequence[str] = ()
    keep: str = ""

    def apply(self, source: str) -> Outcome:
        """Rewrite one file."""
        value = self._value(source)
        if value is None and not any(self._line(name).search(source) for name in self.gone):
            return Outcome(source)
        paragraphs = re.split(r"(?<=\n)\n+", source) if self.keep else [source]
        changed = "\n".join(found for text in paragraphs if (found := self._paragraph(text, value)))
        if self.keep and value is not None:
            changed += f"\n# {self.keep}\n" + "".join(f"#{name}=\n" for name in self.old)
        return Outcome(changed)

    def _value(self, source: str) -> str | None:
        found = self._line(self.old[0], commented=False).search(source)
        return None if found is None else found["value"]

    @staticmethod
    def _line(name: str, commented: bool = True) -> re.Pattern[str]:
        mark = "#?" if commented else ""
        return re.compile(
            rf"^(?P<indent>[ ]*){mark}(?P<name>{name})(?P<is>=|:[ ]+)(?P<value>.*)\n", re.MULTILINE
        )

    def _paragraph(self, text: str, value: str | None) -> str:
        """A paragraph without the old lines; empty if it was about nothing else."""
        listed = bool(re.search(rf"^\s*#?{self.new}(=|:)", text, re.MULTILINE))
        before = text
        if value is not None and listed:
            text = text.replace(SHARED, "")
            unset = re.compile(rf"^([ ]*)(?:#{self.new}(=|:[ ]+).*|{self.new}(=|:[ ]*))\n", re.MULTILINE)
            text = unset.sub(lambda found: f"{found[1]}{self.new}{found[2] or found[3]}{value}\n", text)
        if not listed and not self.keep:
            text = self._line(self.old[0], commented=False).sub(
                rf"\g<indent>{self.new}\g<is>\g<value>\n", text
            )
        for name in (*self.old, *self.gone):
            text = self._line(name, commented=False).sub("", text)
        settings = [line for line in text.splitlines() if re.match(r"\s*#?[A-Za-z_]\w*(=|:)", line)]
        return text if settings or text == before else ""
