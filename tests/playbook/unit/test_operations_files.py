"""The files for operators: they can be read, and each alert has its section in the runbook."""

import re

import promql_parser
import pytest
import yaml

from playbook.config import load_application
from playbook.rewrite.edit import Edit
from playbook.rewrite.operations import add_operations
from playbook.tree import Tree
from tests.playbook.operations_files import OPS, alerts, dashboard, expressions, names_in_files

RUNBOOK = (OPS / "runbook.md").read_text()


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do(rule: dict[str, object]) -> None:
    notes = rule["annotations"]
    assert isinstance(notes, dict)
    page, _, anchor = notes["runbook"].partition("#")
    assert (OPS / page).exists()
    assert anchor in anchors(RUNBOOK)
    assert anchor == str(rule["alert"]).lower()
    assert notes["summary"]
    assert rule["labels"]
    assert promql_parser.parse_duration(str(rule["for"])).total_seconds() >= 60


def test_each_section_on_an_alert_has_its_alert() -> None:
    sections = set(re.findall(r"^### (\w+)$", RUNBOOK, re.MULTILINE))
    assert sections == {rule["alert"] for rule in alerts()}


def test_links_within_the_runbook_lead_somewhere() -> None:
    assert set(re.findall(r"\]\(#([\w-]+)\)", RUNBOOK)) <= anchors(RUNBOOK)


@pytest.mark.parametrize("text", expressions())
def test_an_expression_can_be_parsed(text: str) -> None:
    promql_parser.parse(text)


def test_panels_do_not_overlap_and_name_the_data_source() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["datasource"]["uid"] == "${datasource}"


def test_prometheus_finds_the_rules_and_the_job_that_they_name() -> None:
    config = yaml.safe_load((OPS / "prometheus.yml").read_text())
    assert all((OPS / name).exists() for name in config["rule_files"])
    jobs = {job["job_name"] for job in config["scrape_configs"]}
    named = {name for rule in alerts() for name in re.findall(r'job="(\w+)"', rule["expr"])}
    assert named == jobs
    assert "taskiq_tasks_total" in names_in_files()


def test_the_application_gets_them_with_its_own_names() -> None:
    application = load_application()
    edit = Edit(application, Tree({"reflector/ops/alerts.yml": "mine"}, frozenset()))
    add_operations(edit)
    tree = edit.done().tree
    assert tree["reflector/ops/alerts.yml"] == "mine"
    assert [refusal.path for refusal in edit.refusals] == ["reflector/ops/alerts.yml"]
    assert "python -m reflector.worker.top --once" in tree["reflector/ops/runbook.md"]
    assert not [path for path in tree if "PACKAGE" in tree[path]]
    again = Edit(application, tree)
    add_operations(again)
    assert again.done().tree == tree
