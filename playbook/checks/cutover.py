"""What 06_cutover proves: Celery is gone, nothing else is, and all goes on where there is no Celery."""

from __future__ import annotations

from functools import cache, partial

from playbook.checks import cutover_drain, cutover_fresh, cutover_suite, operations
from playbook.checks.cutover_mentions import Mention, imports, mentions
from playbook.checks.guide import Verdict, judge
from playbook.checks.guide_cutover import CLAIMS, facts
from playbook.checks.suite_assertions import read_suite
from playbook.config import Application
from playbook.contracts import Check, CheckContext, CheckResult
from playbook.errors import PlaybookError
from playbook.lab.waiting import together
from playbook.rewrite.edit import SCAFFOLD
from playbook.rewrite.suite import test_files
from playbook.tree import Tree
from playbook.workspace import BASELINE, Workspace

PHASE = "06_cutover"
SHOWN = 3
"""How many entries a detail names."""


def look(context: CheckContext) -> None:
    """Look at the fresh environment, at the transfer and at operations, once.

    Raises:
        PlaybookError: something could not be done. It is not tried again.
    """
    parts = [partial(part.look, context) for part in (cutover_fresh, cutover_drain, operations)]
    # A database that we did not start is one for all of them.
    for part in parts if context.database_url else [lambda: together(*parts)]:
        part()


def left(context: CheckContext) -> list[Mention]:
    """Return the lines of the working copy that still name Celery, and why each may."""
    return mentions(_workspace(context).tree(), _runtime(context))


def _runtime(context: CheckContext) -> frozenset[str]:
    """The paths of the modules that were copied into the application."""
    application = context.application
    package = application.broker.partition(":")[0].rpartition(".")[0]
    return frozenset(
        application.module_path(f"{package}.{file.stem}")
        for file in (SCAFFOLD / "worker").glob("*.py")
        if file.stem != "__init__"
    )


@cache
def sources(context: CheckContext) -> cutover_suite.Sources:
    """Compare the tests before the migration with those of now.

    Raises:
        PlaybookError: a test file is not Python of this version.
    """
    workspace, application = _workspace(context), context.application
    trees = workspace.tree(BASELINE), workspace.after(PHASE), workspace.tree()
    try:
        before, by_rule, now = (read_suite(_tests(application, tree)) for tree in trees)
    except SyntaxError as error:
        raise PlaybookError(f"{error.filename}:{error.lineno} is not valid Python: {error.msg}") from None
    return cutover_suite.sources(before, by_rule, now, application.celery_app.partition(":")[2])


def verdicts(context: CheckContext) -> list[Verdict]:
    """Decide the guide's claims about the cutover."""
    workspace, fresh = _workspace(context), cutover_fresh.look(context)
    outcome = {
        "tests_pass": cutover_fresh.tests_pass(fresh).ok,
        "same_tests": cutover_fresh.same_tests(fresh).ok,
        "processes": cutover_fresh.processes(fresh).ok,
    }
    trees = workspace.tree(BASELINE), workspace.tree()
    return judge(CLAIMS, facts(context.application, *trees, _runtime(context), outcome))


def claims(context: CheckContext) -> CheckResult:
    """The guide's claims come out as they did on the versions that the playbook was made with."""
    found = verdicts(context)
    if news := [verdict for verdict in found if verdict.holds != verdict.expected]:
        told = [f"{one.text} {'holds now' if one.holds else 'does not hold'}: {one.found}" for one in news]
        return CheckResult.failed(f"{len(news)} claims come out otherwise: {_some(told)}", told)
    held = sum(verdict.holds for verdict in found)
    return CheckResult.passed(f"{held} of {len(found)} claims hold, as on record", len(found))


def _workspace(context: CheckContext) -> Workspace:
    return Workspace(context.run_dir, context.application)


def _tests(application: Application, tree: Tree) -> dict[str, str]:
    return {path: tree[path] for path in test_files(application, tree)}


def nothing_imported(context: CheckContext) -> CheckResult:
    """No file imports Celery or what came with it."""
    tree = _workspace(context).tree()
    if found := imports(tree):
        told = [f"{one.path}:{one.line} {one.text}" for one in found]
        return CheckResult.failed(f"{len(found)} imports are left: {_some(told)}", told)
    files = sum(path.endswith(".py") for path in tree)
    return CheckResult.passed(f"none of {files} Python files imports Celery, Kombu, Billiard or Flower")


def mentions_explained(context: CheckContext) -> CheckResult:
    """What still names Celery does so for a reason."""
    found = left(context)
    if open_ones := [f"{one.path}:{one.line} {one.text}" for one in found if not one.why]:
        return CheckResult.failed(
            f"{len(open_ones)} lines name Celery, and nothing explains it: {_some(open_ones)}", open_ones
        )
    return CheckResult.passed(f"{len(found)} lines still name Celery, each for a reason", len(found))


def _some(entries: list[str]) -> str:
    more = f" and {len(entries) - SHOWN} more" if len(entries) > SHOWN else ""
    return "; ".join(entries[:SHOWN]) + more


CHECKS: tuple[Check, ...] = (
    Check("nothing_imported", "Nothing imports Celery", nothing_imported),
    Check("mentions_explained", "What still names Celery does so for a reason", mentions_explained),
    Check(
        "same_assertions",
        "No test is gone, weakened or skipped",
        lambda c: cutover_suite.same_assertions(sources(c)),
    ),
    Check(
        "no_celery",
        "The application is installed where there is no Celery",
        lambda c: cutover_fresh.no_celery(cutover_fresh.look(c)),
    ),
    Check(
        "same_tests",
        "The same tests are collected without Celery",
        lambda c: cutover_fresh.same_tests(cutover_fresh.look(c)),
    ),
    Check(
        "tests_pass",
        "The application's tests pass without Celery",
        lambda c: cutover_fresh.tests_pass(cutover_fresh.look(c)),
    ),
    Check(
        "processes",
        "Server, worker and scheduler start from the start script",
        lambda c: cutover_fresh.processes(cutover_fresh.look(c)),
    ),
    Check(
        "same_effects",
        "An upload has the effects that it had on Celery",
        lambda c: cutover_fresh.same_effects(cutover_fresh.look(c)),
    ),
    *cutover_drain.CHECKS,
    *operations.CHECKS,
    Check("claims", "The guide's claims come out as on record", claims),
)
