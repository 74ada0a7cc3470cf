"""A run in Markdown: every phase has a row, every check that ran is told, no cell breaks a table."""

from playbook.contracts import CheckResult
from playbook.criteria import judge
from playbook.report.summary import summary
from playbook.results import Claim, PhaseResult, RunResult


def run() -> RunResult:
    check = CheckResult(False, "a | b\nwas <b>lost</b>", name="kept", title="Nothing is lost")
    claim = Claim(text="It holds", holds=False, found="it does not")
    done = PhaseResult(
        name="01_poc",
        title="Proof",
        summary="",
        status="stopped",
        message="01_poc stops",
        checks=[check],
        claims=[claim],
    )
    later = PhaseResult(name="02_simple_tasks", title="Simple", summary="")
    application = {"name": "shop", "celery_app": "shop.app:app"}
    return RunResult(run="first", playbook="0.1.0", application=application, phases=[done, later])


def test_it_tells_what_ran_and_what_did_not() -> None:
    text = summary(run())

    assert "## shop: from Celery to TaskIQ" in text
    assert "| 01_poc | ✗ stopped | 0 of 1 |" in text
    assert "| 02_simple_tasks | – not run |" in text
    assert "### 02_simple_tasks" not in text
    assert "01_poc stops" in text
    assert "It holds" in text
    assert "Criteria of success" not in text
    assert "Criteria of success" in summary(run(), judge(run().phases))


def test_a_cell_stays_in_its_row() -> None:
    row = next(line for line in summary(run()).splitlines() if "Nothing is lost" in line)

    assert row.endswith("| a \\| b was &lt;b>lost&lt;/b> |")
