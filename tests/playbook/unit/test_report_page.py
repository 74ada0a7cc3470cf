"""The page of a run: it stands for itself, whatever the run has written."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from playbook.errors import PlaybookError
from playbook.notebook_format import nbformat
from playbook.report import png, render_run, timeline
from tests.playbook.unit.parity_samples import live, observation

HOSTILE = "<script>alert('x')</script> {{ 7 * 7 }}"
DIFF = """diff --git a/app/broker.py b/app/broker.py
new file mode 100644
--- /dev/null
+++ b/app/broker.py
@@ -0,0 +1,2 @@
+broker = make()
+# <b>
diff --git a/app/tasks.py b/app/tasks.py
--- a/app/tasks.py
+++ b/app/tasks.py
@@ -1,2 +1,2 @@
-old = 1
+new = 1
 same = 2
"""


class Page(HTMLParser):
    """What a browser would make of a page: its tags, links, pictures, and the text outside of style."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += "" if self.tags and self.tags[-1] == "style" else data

    def values(self, attribute: str) -> list[str]:
        return [value for _, name, value in self.attributes if name == attribute]


def phase(name: str, **content: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {key: [] for key in ("changes", "checks", "claims", "figures", "refusals")}
    nothing = dict.fromkeys(("message", "inputs", "tree", "notebook", "diff"))
    texts = {"name": name, "title": name.upper(), "summary": f"Summary of {name}.", "status": "pending"}
    return texts | nothing | empty | {"parameters": {}, "values": {}} | content


def check(ok: bool = True, **content: Any) -> dict[str, Any]:
    return {"name": "c", "title": "The check", "ok": ok, "detail": "Its detail.", "evidence": None} | content


def write(run: Path, *phases: dict[str, Any], **timings: float) -> Path:
    times = {
        name: {"started": "2026-01-02T03:04:05+00:00", "seconds": s, "cells": []}
        for name, s in timings.items()
    }
    application = {"name": "shop", "root": "shop", "tests": None, "celery_app": "shop.app:app"}
    result = {"schema": 1, "run": "first", "playbook": "0.1.0", "application": application}
    run.mkdir(exist_ok=True)
    (run / "result.json").write_text(json.dumps(result | {"phases": list(phases), "timings": times}))
    return run


def full_run(run: Path) -> Path:
    """Write a run with everything that a phase may have."""
    done = phase(
        "01_poc",
        status="signed_off",
        notebook="notebooks/01_poc.ipynb",
        diff="phases/01_poc/slice.diff",
        parameters={"audio": "two.wav"},
        changes=[{"path": "app/broker.py", "kind": "added", "added": 2, "removed": 0}],
        checks=[check(evidence={"sent": 5, "note": HOSTILE})],
        claims=[
            {
                "text": "It works",
                "source": "guide",
                "holds": True,
                "found": "It does",
                "instead": "",
                "evidence": None,
            },
            {
                "text": HOSTILE,
                "source": "",
                "holds": False,
                "found": "No",
                "instead": "This",
                "evidence": None,
            },
        ],
        figures=[
            {"name": "t", "path": "phases/01_poc/figures/t.png", "caption": "Two systems."},
            {"name": "outside", "path": "../secret.png", "caption": "Elsewhere."},
        ],
        refusals=[{"path": "app/x.py", "line": 3, "construct": "rate_limit", "reason": "no such thing"}],
        values={"big": list(range(5000)), "small": HOSTILE},
    )
    write(
        run,
        phase("00_inventory", status="signed_off", checks=[check()]),
        done,
        **{"00_inventory": 1.0, "01_poc": 2.5},
    )
    figures = run / "phases/01_poc/figures"
    figures.mkdir(parents=True)
    (figures / "t.png").write_bytes(png(timeline([observation(live(1))])))
    (run.parent / "secret.png").write_bytes(b"secret")
    (run / "phases/01_poc/slice.diff").write_text(DIFF)
    (run / "notebooks").mkdir()
    stream = nbformat.v4.new_output("stream", text="\x1b[31mred\x1b[0m <b>bold</b>\n")
    cells = [
        nbformat.v4.new_markdown_cell("# Proof"),
        nbformat.v4.new_code_cell("print(1)", outputs=[stream]),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), run / "notebooks/01_poc.ipynb")
    return run


def test_the_page_tells_everything_without_script_or_network(tmp_path: Path) -> None:
    page = Page(render_run(full_run(tmp_path / "run")))

    assert not {"script", "link", "iframe"} & set(page.tags)
    assert [source[:22] for source in page.values("src")] == ["data:image/png;base64,"]
    assert not [
        value for value in (*page.values("href"), *page.values("src")) if ":" in value.split(";")[0][5:]
    ]
    assert "url(" not in (tmp_path / "run/index.html").read_text()
    for text in (
        "All phases signed off",
        "Its detail.",
        "2 of 2",
        "1 of 2",
        "rate_limit",
        "app/tasks.py",
        "Two systems.",
    ):
        assert text in page.text


def test_whatever_comes_from_outside_is_escaped(tmp_path: Path) -> None:
    page = Page(render_run(full_run(tmp_path / "run")))

    assert page.text.count("<script>alert('x')</script> {{ 7 * 7 }}") >= 2
    assert "# <b>" in page.text


def test_a_figure_outside_the_run_is_not_shown(tmp_path: Path) -> None:
    assert "Elsewhere." not in Page(render_run(full_run(tmp_path / "run"))).text


def test_links_lead_to_files_of_the_run_and_to_phases(tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    page = Page(render_run(run))

    links = page.values("href")
    assert {"#01_poc", "notebooks/01_poc.html", "notebooks/01_poc.ipynb"} <= set(links)
    assert all((run / link).is_file() for link in links if not link.startswith("#"))
    assert {link[1:] for link in links if link.startswith("#")} <= set(page.values("id"))
    assert all(page.values("alt"))


def test_the_notebook_page_needs_no_script_and_leads_back(tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    render_run(run)
    page = Page(run / "notebooks/01_poc.html")

    assert "script" not in page.tags
    assert "../index.html" in page.values("href")
    assert "red <b>bold</b>" in page.text
    assert "Proof" in page.text


def test_the_diff_is_shown_by_files(tmp_path: Path) -> None:
    text = re.sub(r"\s+", " ", Page(render_run(full_run(tmp_path / "run"))).text)

    assert "app/broker.py +2 −0" in text
    assert "app/tasks.py +1 −1" in text


def test_long_values_are_cut_and_say_so(tmp_path: Path) -> None:
    page = Page(render_run(full_run(tmp_path / "run")))

    assert "more characters are in result.json" in page.text
    assert len(page.text) < 30_000


@pytest.mark.parametrize(
    ("phases", "verdict"),
    [
        (
            [phase("a", status="signed_off"), phase("b", status="stopped", message="b stops: no Redis")],
            "Stopped in b",
        ),
        ([phase("a", status="signed_off"), phase("b")], "1 of 2 phases signed off"),
        ([phase("a"), phase("b")], "Nothing has signed off yet"),
        ([phase("a", status="running")], "Next is a."),
        ([phase("a", status="signed_off")], "All phases signed off"),
    ],
)
def test_the_verdict_is_on_top(tmp_path: Path, phases: list[dict[str, Any]], verdict: str) -> None:
    text = Page(render_run(write(tmp_path / "run", *phases))).text

    assert verdict in text
    assert text.index(verdict) < text.index("Summary of a.")
    assert ("b stops: no Redis" in text) == (verdict == "Stopped in b")


def test_a_second_rendering_changes_nothing(tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    first = render_run(run).read_bytes()

    assert render_run(run).read_bytes() == first
    assert sorted(path.name for path in run.iterdir()) == ["index.html", "notebooks", "phases", "result.json"]


def test_a_broken_notebook_is_only_linked(tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    (run / "notebooks/01_poc.ipynb").write_text("{half")

    assert "notebooks/01_poc.html" not in Page(render_run(run)).values("href")


@pytest.mark.parametrize("content", [None, "{half", "[]", '{"schema": 99}'])
def test_an_unusable_result_is_one_clear_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "result.json").write_text(content)

    with pytest.raises(PlaybookError, match=r"result\.json") as caught:
        render_run(tmp_path)
    assert "\n" not in str(caught.value)
