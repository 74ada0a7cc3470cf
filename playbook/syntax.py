"""Python source as a tree, by one thread at a time.

CPython before 3.11.8 and 3.12.2 counts the depth of the trees that it builds for all threads together: two
that parse at the same time may end in "AST constructor recursion depth mismatch" (cpython#106905).
"""

from __future__ import annotations

import ast
from threading import Lock
from typing import Any

_LOCK = Lock()


def parse(text: str, path: str = "<unknown>") -> ast.Module:
    """Parse a module; see `ast.parse`.

    Raises:
        SyntaxError, ValueError: it is not Python.
    """
    with _LOCK:
        return ast.parse(text, path)  # noqa: TID251


def parse_expression(text: str) -> ast.expr:
    """Parse an expression.

    Raises:
        SyntaxError, ValueError: it is not one.
    """
    with _LOCK:
        return ast.parse(text, mode="eval").body  # noqa: TID251


def literal(text: str) -> Any:
    """Return the value of a literal; see `ast.literal_eval`.

    Raises:
        SyntaxError, ValueError: it is not one.
    """
    return ast.literal_eval(parse_expression(text.lstrip(" \t")))
