"""Tables and the figure of the application's tests show every run and file."""

from playbook.checks.suite_assertions import Finding
from playbook.report.style import png
from playbook.report.suites import (
    changes_table,
    counts_table,
    coverage_figure,
    coverage_table,
    runs_table,
)
from tests.playbook.unit.test_suite_verdicts import proof


def test_the_tables_show_every_run() -> None:
    given = proof([Finding("t.py", "test_a", "weakened", "assert a == 1", "assert a")])
    assert "assertions" in str(counts_table(given.counts))
    for name in given.runs:
        assert name in str(runs_table(given.runs))
        assert name in str(coverage_table(given.by_file, given.statements))
    changes = str(changes_table(given.findings))
    assert "assert a == 1" in changes
    assert "by nothing" in changes


def test_equal_runs_give_equal_figures_and_another_file_shows() -> None:
    given = proof()
    first, again = (coverage_figure(given.by_file, given.shared) for _ in range(2))
    assert png(first) == png(again)
    assert [text.get_text() for text in first.axes[0].get_yticklabels()] == given.shared
    assert [text.get_text() for text in first.legends[0].get_texts()] == list(given.runs)
    assert png(coverage_figure(given.by_file, given.shared[:1])) != png(first)
