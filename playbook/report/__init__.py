"""Observations -> tables, figures, HTML. Pure: reads what a run has written, and writes its page.

Whatever is shown must be masked already: no password may be in a run's `result.json` or in a notebook.
"""

from playbook.report.orders import order_graph
from playbook.report.overview import inventory_figure
from playbook.report.page import render_run
from playbook.report.style import Chart, png
from playbook.report.tables import (
    canvas_view,
    checks_table,
    claims_table,
    count_table,
    findings_table,
    modules_table,
)
from playbook.report.timelines import timeline
from playbook.report.views import View, diff_view, table

__all__ = [
    "Chart",
    "View",
    "canvas_view",
    "checks_table",
    "claims_table",
    "count_table",
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
