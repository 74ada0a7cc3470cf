"""What a rule is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
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


@lru_cache(maxsize=4)
def parse(source: str) -> MetadataWrapper:
    """Parse a module so that names can be resolved in it.

    Resolving takes long, and what was resolved is kept with the result: rules that look at the same text one
    after the other share it. Nobody changes it; libcst's trees are immutable.
    """
    # No copy: no node stands twice in a tree that comes from the parser.
    return MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)


def code_of(node: cst.CSTNode) -> str:
    """The source of a node."""
    return cst.Module([]).code_for_node(node)
