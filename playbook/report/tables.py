"""The tables that notebooks and the run's page share: claims, checks, findings, the inventory's lists."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from playbook.report.views import BAD, GOOD, View, paragraph, plain, table
from playbook.syntax import parse

_LISTS = {
    "tasks": "functions that Celery runs",
    "calls": "places that start a task or make a signature of it",
    "canvases": "chains, groups and chords",
    "schedules": "entries of Celery beat",
    "touchpoints": "other places that use or mention Celery",
    "refused": "what the migration cannot convert by itself",
}


def count_table(inventory: Any) -> View:
    """Return how many entries each list of an inventory has, and what the list holds."""
    lists: Mapping[str, Any] = inventory if isinstance(inventory, Mapping) else inventory.to_json()
    return table(
        {"list": name, "entries": len(lists[name]), "holds": holds} for name, holds in _LISTS.items()
    )


def modules_table(files: Mapping[str, str]) -> View:
    """Return Python modules with the first sentence of their docstrings and their lines.

    Args:
        files: Source by path; other files are left out.
    """
    modules = {path: text for path, text in files.items() if path.endswith(".py")}
    return table(
        {
            "module": path,
            "purpose": " ".join((ast.get_docstring(parse(text)) or "").partition("\n\n")[0].split()),
            "lines": len(text.splitlines()),
        }
        for path, text in modules.items()
    )


def claims_table(claims: Iterable[Any]) -> View:
    """Return claims of the guide with what was found; for those that do not hold, what is done instead."""
    rows = [plain(claim) for claim in claims]
    return table(
        [
            {
                "claim": row["text"],
                "verdict": "✓ holds" if row["holds"] else "✗ does not hold",
                "found": row["found"],
                "instead": row.get("instead") or "",
                "source": row.get("source") or "",
            }
            for row in rows
        ],
        shades=[GOOD if row["holds"] else BAD for row in rows],
    )


def checks_table(checks: Iterable[Any]) -> View:
    """Return checks with their outcome."""
    rows = [plain(check) for check in checks]
    return table(
        [
            {
                "check": row.get("title") or row["name"],
                "outcome": "✓ passed" if row["ok"] else "✗ failed",
                "detail": row["detail"],
            }
            for row in rows
        ],
        shades=[GOOD if row["ok"] else BAD for row in rows],
    )


def criteria_table(judgements: Iterable[Any]) -> View:
    """Return the criteria of success, whether each holds, and phase by phase the checks that show it."""
    words = {True: "✓ holds", False: "✗ does not hold", None: "– not all shown"}
    colours = {True: GOOD, False: BAD, None: "transparent"}
    rows, shades = [], []
    for judged in map(plain, judgements):
        head = {"criterion": judged["text"], "outcome": words[judged["holds"]]}
        for phase, checks in judged["evidence"].items():
            rows.append({**head, "phase": phase, "shown by": "; ".join(checks)})
            shades.append(colours[judged["holds"]])
            head = {"criterion": "", "outcome": ""}
    return table(rows, shades=shades)


def findings_table(comparison: Any) -> View:
    """Return the verdict of a comparison, its findings, and what it rests on: records compared, noise."""
    found = plain(comparison)
    runs = ", ".join(found["labels"])
    records = sum(found["compared"].values())
    if found["findings"]:
        verdict = paragraph(f"Differences between the systems: {len(found['findings'])} ({runs}).")
        rows = [{name: row[name] for name in ("kind", "where", "explanation")} for row in found["findings"]]
        verdict += table(rows, shades=[BAD] * len(rows))
    else:
        sections = len(found["compared"])
        verdict = paragraph(f"No difference: {records} records in {sections} sections ({runs}).")
    compared = [{"section": name, "records": count} for name, count in found["compared"].items()]
    noise = [{"kind": row["kind"], "where": row["where"], "values": row["values"]} for row in found["noise"]]
    return verdict + _folded("What was compared", table(compared)) + _folded("What is noise", table(noise))


def canvas_view(canvases: Iterable[Any]) -> View:
    """Return canvases as trees, each with the place where it is built."""
    views = [_canvas(plain(canvas)) for canvas in canvases]
    if not views:
        return paragraph("None.")
    return View("\n".join(view.html for view in views), "\n\n".join(view.markdown for view in views))


def _folded(title: str, view: View) -> View:
    html = f"<details><summary>{escape(title)}</summary>\n{view.html}\n</details>"
    return View(html, f"{title}:\n\n{view.markdown}")


def _canvas(canvas: dict[str, Any]) -> View:
    place = f"{canvas['path']}:{canvas['line']} in {canvas['function']}"
    tree = "\n".join(_branches(canvas["structure"]))
    html = f'<p><code>{escape(place)}</code></p>\n<pre style="line-height: 1.3;">{escape(tree)}</pre>'
    return View(html, f"{place}\n\n```\n{tree}\n```")


def _branches(structure: Any) -> list[str]:
    """Return a canvas as lines of a tree."""
    if not isinstance(structure, Mapping):
        return [str(structure)]
    if "task" in structure:
        note = "" if not structure.get("immutable") else "  (immutable)"
        return [f"{structure['task']}{note}"]
    kind, content = next(iter(structure.items()))
    lines = [str(kind)]
    if isinstance(content, Mapping) and "body" in content:
        header = content["header"]
        members: list[Any] = [{"header": header if isinstance(header, list) else [header]}]
        members.append({"body": [content["body"]]})
    else:
        members = content if isinstance(content, list) else [content]
    for place, member in enumerate(members):
        last = place == len(members) - 1
        first, *rest = _branches(member)
        lines.append(("└─ " if last else "├─ ") + first)
        lines += [("   " if last else "│  ") + line for line in rest]
    if "over" in structure:
        lines.append(f"   for each of {structure['over']}")
    return lines
