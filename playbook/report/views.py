"""Pieces of HTML that a notebook shows at the end of a cell, with the same content as Markdown for terminals.

Everything that is shown is escaped here. Colour is given by translucent inline styles, which read well on
light and dark pages, and never carries a meaning alone.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from pydantic import BaseModel

GOOD, BAD, NOTE = "rgba(0, 158, 115, 0.20)", "rgba(213, 94, 0, 0.20)", "rgba(0, 114, 178, 0.12)"

_CELL = "text-align: left; vertical-align: top; overflow-wrap: break-word;"
_SHORT = 24  # characters that are not worth a second line
_ENOUGH = 400  # characters of one value; the full value is in the run's result.json


class View:
    """Something to show: HTML for notebooks, Markdown for everything else."""

    def __init__(self, html: str, markdown: str) -> None:
        """Take the finished texts; they are escaped already."""
        self.html, self.markdown = html, markdown

    def _repr_html_(self) -> str:
        return self.html

    def _repr_markdown_(self) -> str:
        return self.markdown

    def __repr__(self) -> str:
        return self.markdown

    def __add__(self, other: View) -> View:
        """Show one below the other."""
        return View(f"{self.html}\n{other.html}", f"{self.markdown}\n\n{other.markdown}")


def paragraph(text: str) -> View:
    """Return a view of one plain sentence."""
    return View(f"<p>{escape(text)}</p>", _markdown(text))


def plain(row: Any) -> dict[str, Any]:
    """Return a row (mapping, dataclass, pydantic model) as a dictionary."""
    if isinstance(row, Mapping):
        return dict(row)
    if isinstance(row, BaseModel):
        return row.model_dump(mode="json")
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        return dataclasses.asdict(row)
    raise TypeError(f"A table's row must be a mapping, a dataclass or a model, not {type(row).__name__}.")


def cell(value: Any, limit: int = _ENOUGH) -> str:
    """Return a value as short plain text: lists by commas, dictionaries as JSON, true and false in words."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(map(str, value)) if isinstance(value, set | frozenset) else value
        text = ", ".join(cell(item, limit) for item in items)
    elif isinstance(value, Mapping):
        text = json.dumps(value, ensure_ascii=False, default=str) if value else ""
    else:
        text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def table(rows: Iterable[Any], columns: Sequence[str] | None = None, shades: Sequence[str] = ()) -> View:
    """Return rows as a table.

    Args:
        rows: Mappings, dataclasses or models.
        columns: Names of the fields to show, in order. Default: all fields, as they first occur.
        shades: One CSS background per row. Default: none.

    Raises:
        TypeError: A row has no fields.
        KeyError: No row has one of the columns.
    """
    found = [plain(row) for row in rows]
    if not found:
        return paragraph("None.")
    known = list(dict.fromkeys(name for row in found for name in row))
    columns = list(columns or known)
    if unknown := [name for name in columns if name not in known]:
        raise KeyError(f"No row has {', '.join(unknown)}; the fields are {', '.join(known)}.")
    texts = [[cell(row.get(name)) for name in columns] for row in found]
    return View(_html_table(columns, texts, shades), _markdown_table(columns, texts))


def _html_table(columns: Sequence[str], texts: Sequence[Sequence[str]], shades: Sequence[str]) -> str:
    head = "".join(
        f'<th scope="col" style="{_fold(name)}">{escape(name.replace("_", " "))}</th>' for name in columns
    )
    lines = []
    for number, row in enumerate(texts):
        shade = f" background: {shades[number]};" if shades else ""
        cells = "".join(f'<td style="{_fold(text)}{shade}">{_breakable(text)}</td>' for text in row)
        lines.append(f"<tr>{cells}</tr>")
    body = "\n".join(lines)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _breakable(text: str) -> str:
    """Return a text as HTML whose long names may break after a dot, a slash or an underscore."""
    return re.sub(r"([._/])(?=[A-Za-z])", r"\1<wbr>", escape(text))


def _fold(text: str) -> str:
    """Return the style of a cell: short texts stay on one line."""
    return f"{_CELL} white-space: nowrap;" if len(text) <= _SHORT else _CELL


def _markdown_table(columns: Sequence[str], texts: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *([_markdown(text) for text in row] for row in texts)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _markdown(text: str) -> str:
    for mark, safe in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("\n", " ")):
        text = text.replace(mark, safe)
    return text


def diff_view(text: str) -> View:
    """Return a unified diff with added lines on green, removed lines on orange."""
    if not text.strip():
        return paragraph("No difference.")
    shades = {"+": GOOD, "-": BAD, "@": NOTE}
    lines = []
    for line in text.splitlines():
        heading = line.startswith(("+++ ", "--- ", "diff ", "index "))
        shade = None if heading else shades.get(line[:1])
        background = f" background: {shade};" if shade else ""
        weight = " font-weight: bold;" if heading else ""
        lines.append(f'<span style="display: block;{background}{weight}">{escape(line) or " "}</span>')
    return View(f'<pre style="line-height: 1.35;">{"".join(lines)}</pre>', f"```diff\n{text.rstrip()}\n```")
