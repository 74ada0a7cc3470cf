"""Observations -> tables, figures, HTML. Pure: reads what a run has written, and writes its page.

Whatever is shown must be masked already: no password may be in a run's `result.json` or in a notebook.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from playbook.report.tables import (
    canvas_view,
    checks_table,
    claims_table,
    count_table,
    criteria_table,
    findings_table,
    modules_table,
)
from playbook.report.views import View, diff_view, table

if TYPE_CHECKING:
    from playbook.report.attempts import Attempt, attempts_figure
    from playbook.report.orders import order_graph
    from playbook.report.overview import inventory_figure
    from playbook.report.page import render_run
    from playbook.report.style import Chart, png
    from playbook.report.timelines import timeline

__all__ = [
    "Attempt",
    "Chart",
    "View",
    "attempts_figure",
    "canvas_view",
    "checks_table",
    "claims_table",
    "count_table",
    "criteria_table",
    "diff_view",
    "findings_table",
    "inventory_figure",
    "modules_table",
    "order_graph",
    "png",
    "render_run",
    "table",
    "timeline",
]

# Figures need matplotlib and the page needs nbconvert. Each takes long to import, and seldom are both needed.
_LATER = {
    "Attempt": "attempts",
    "attempts_figure": "attempts",
    "order_graph": "orders",
    "inventory_figure": "overview",
    "render_run": "page",
    "Chart": "style",
    "png": "style",
    "timeline": "timelines",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
