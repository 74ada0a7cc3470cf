"""What the files for operators say: alerts, dashboard, runbook."""

import json
from typing import Any

import promql_parser
import yaml

from playbook.rewrite.edit import SCAFFOLD

OPS = SCAFFOLD / "ops"


def alerts() -> list[dict[str, Any]]:
    """Return the alert rules."""
    groups = yaml.safe_load((OPS / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    found: dict[str, Any] = json.loads((OPS / "dashboard.json").read_text())
    return found


def expressions() -> list[str]:
    """Return all expressions of alerts and dashboard, as Prometheus gets them."""
    panels = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    return [rule["expr"] for rule in alerts()] + [e.replace("$__rate_interval", "5m") for e in panels]


def names_in_files() -> set[str]:
    """Return the names of the metrics that alerts and dashboard read."""
    return {name for text in expressions() for name in names_in(promql_parser.parse(text))}


def names_in(node: Any) -> set[str]:
    """Return the names of the metrics in a parsed expression."""
    found = {node.name} if isinstance(node, promql_parser.VectorSelector) else set()
    parts = [getattr(node, name, None) for name in ("expr", "lhs", "rhs", "vector_selector", "param")]
    parts += list(getattr(node, "args", None) or [])
    return found.union(*(names_in(part) for part in parts if part is not None))
