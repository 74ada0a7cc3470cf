"""Executed notebooks as HTML pages that need no script and no network."""

from __future__ import annotations

# First, before the others import nbformat in their own way.
from playbook.notebook_format import nbformat  # isort: skip

from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]


def notebook_page(path: Path, title: str, templates: Environment) -> str | None:
    """Return a notebook as a page in the run's own look; None if the file is not a notebook.

    nbconvert renders the cells with its template `basic`, which, unlike its whole pages, loads no script.
    """
    try:
        notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, nbformat.reader.NotJSONError):
        return None
    exporter = HTMLExporter(template_name="basic", embed_images=True)  # type: ignore[no-untyped-call]
    body, _ = exporter.from_notebook_node(notebook)
    light, dark = (
        HtmlFormatter(style=style).get_style_defs(".highlight") for style in ("default", "monokai")
    )
    return templates.get_template("notebook.html.j2").render(
        title=title,
        body=Markup(body),  # noqa: S704 - the outputs of our own notebooks, rendered by nbconvert
        highlight=Markup(f"{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}"),  # noqa: S704
    )
