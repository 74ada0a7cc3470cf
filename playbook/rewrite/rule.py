"""What a rule is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import libcst as cst
from libcst.metadata import MetadataWrapper


@dataclass(frozen=True)
class Refusal:
    """A place that a rule left alone.

    `line` is 1-based; `construct` is what stands there; `reason` says why it was left and what to do by hand.
    """

    line: int
    construct: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """A rule's result: the new source (the old one if nothing changed) and what it refused."""

    source: str
    refusals: tuple[Refusal, ...] = ()


class Rule(Protocol):
    """One rewrite. Its class docstring says what turns into what; its cases stand in a `.md` file beside
    it."""

    def apply(self, source: str) -> Outcome:
        """Rewrite one file.

        Args:
            source: the file's text.

        Raises:
            libcst.ParserSyntaxError: `source` is not Python that libcst can read.
        """


def parse(source: str) -> MetadataWrapper:
    """Parse a module so that names can be resolved in it."""
    return MetadataWrapper(cst.parse_module(source))


def code_of(node: cst.CSTNode) -> str:
    """The source of a node."""
    return cst.Module([]).code_for_node(node)
