"""The pieces of HTML that notebooks show: complete, escaped, and the same in Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbook.models import Request
from playbook.parity import compare
from playbook.report import (
    canvas_view,
    checks_table,
    claims_table,
    count_table,
    diff_view,
    findings_table,
    table,
)
from tests.playbook.unit.parity_samples import observation, upload

HOSTILE = "<script>alert(1)</script> & | \"quoted\" 'x'\nsecond line"


class Reader(HTMLParser):
    """Collects the tags and the text of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@dataclass
class Row:
    name: str
    ready: bool
    tags: tuple[str, ...] = ()


def test_a_table_shows_mappings_dataclasses_and_models() -> None:
    request = Request(at=1.5, service="zulip", method="POST", path="/x")

    assert "zulip" in table([request], ["service", "at"]).markdown
    assert table([Row("a", True, ("x", "y"))]).markdown.splitlines() == [
        "| name | ready | tags |",
        "| --- | --- | --- |",
        "| a | yes | x, y |",
    ]
    assert "1.5" in table([{"at": 1.5}, {"at": None, "more": {"a": 1}}]).html


def test_a_table_without_rows_says_so() -> None:
    assert repr(table([])) == "None."


def test_a_column_that_no_row_has_is_an_error() -> None:
    with pytest.raises(KeyError, match="the fields are name, ready, tags"):
        table([Row("a", True)], ["nome"])


def test_a_row_without_fields_is_an_error() -> None:
    with pytest.raises(TypeError, match="not int"):
        table([5])


@given(st.text(), st.text())
def test_whatever_a_table_shows_is_escaped(name: str, value: str) -> None:
    shown = Reader(table([{"name": name, "value": value[:300]}])._repr_html_())

    assert set(shown.tags) - {"wbr"} == {"table", "thead", "tbody", "tr", "th", "td"}
    assert value[:300].replace("\r\n", "\n").replace("\r", "\n").strip() in shown.text.replace("\r", "\n")


@pytest.mark.parametrize(
    "view",
    [
        table([{"x": HOSTILE}]),
        diff_view(f"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-{HOSTILE}\n+{HOSTILE}"),
        claims_table(
            [{"text": HOSTILE, "holds": False, "found": HOSTILE, "instead": HOSTILE, "source": HOSTILE}]
        ),
        checks_table([{"name": "x", "title": HOSTILE, "ok": False, "detail": HOSTILE}]),
        canvas_view([{"path": HOSTILE, "line": 1, "function": HOSTILE, "structure": {"task": HOSTILE}}]),
    ],
)
def test_hostile_texts_do_no_harm(view: object) -> None:
    shown = Reader(view._repr_html_())  # type: ignore[attr-defined]

    assert "script" not in shown.tags
    assert "<script>alert(1)</script>" in shown.text


def test_a_diff_tells_added_and_removed_lines_apart() -> None:
    view = diff_view("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+new\n same")

    assert view.html.count("background") == 3
    assert view.markdown.startswith("```diff\n")
    assert repr(diff_view("")) == "No difference."


def test_verdicts_stand_in_words() -> None:
    claims = claims_table(
        [
            {"text": "a", "holds": True, "found": "yes"},
            {"text": "b", "holds": False, "found": "no", "instead": "c"},
        ]
    )
    checks = checks_table(
        [{"name": "x", "ok": True, "detail": "d"}, {"name": "y", "ok": False, "detail": "e"}]
    )

    assert "✓ holds" in claims.markdown
    assert "✗ does not hold" in claims.markdown
    assert "✓ passed" in checks.markdown
    assert "✗ failed" in checks.markdown


def test_findings_come_with_what_they_rest_on() -> None:
    new = upload(3, "taskiq")
    good = compare(observation(upload(1)), observation(upload(2)), observation(new))
    new["effects"]["rows"]["transcript"][0]["title"] = "Other"
    bad = compare(observation(upload(1)), observation(upload(2)), observation(new))

    assert "No difference" in findings_table(good).markdown
    assert "rows.transcript_event" in findings_table(good).html.replace("<wbr>", "")
    assert "processing_seconds" in findings_table(good).html.replace("<wbr>", "")
    assert "rows.transcript.title is 'Other'" in findings_table(bad).markdown


def test_a_canvas_is_shown_as_a_tree() -> None:
    header = [
        {"chain": [{"task": "a"}, {"task": "b", "immutable": True}]},
        {"each": {"task": "c"}, "over": "xs"},
    ]
    canvas = {
        "path": "p.py",
        "line": 3,
        "function": "f",
        "structure": {"chord": {"header": header, "body": {"task": "d"}}},
    }

    assert canvas_view([canvas]).markdown.splitlines()[3:-1] == [
        "chord",
        "├─ header",
        "│  ├─ chain",
        "│  │  ├─ a",
        "│  │  └─ b  (immutable)",
        "│  └─ each",
        "│     └─ c",
        "│        for each of xs",
        "└─ body",
        "   └─ d",
    ]
    assert repr(canvas_view([])) == "None."


def test_the_lists_of_an_inventory_are_counted() -> None:
    lists: dict[str, list[int]] = {
        name: [] for name in ("tasks", "calls", "canvases", "schedules", "touchpoints", "refused")
    }

    assert "| tasks | 2 |" in count_table(lists | {"tasks": [1, 2]}).markdown
