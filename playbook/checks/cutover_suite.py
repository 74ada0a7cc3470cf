"""The application's tests after the cutover: the same, but for words that have changed. Pure.

It does not ask the rules: each assertion of before is looked for among those of now, after a few words have
been put back. What is left over has been weakened, or has gone.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping

from playbook.checks.suite_assertions import Finding, Function, Suite, compare, counts, unexplained
from playbook.contracts import CheckResult
from playbook.models import Model
from playbook.syntax import parse, parse_expression

METHODS = {"aget": "get", "aready": "ready", "delay_sync": "delay", "apply_async_sync": "apply_async"}
"""Methods of now, and those of before."""

WORDS = {
    "broker.get_all_tasks()": "app.tasks",
    "taskiq_broker.get_all_tasks()": "celery_app.tasks",
    "suite.accept_content": "app.conf.accept_content",
    "suite.default_queue": "app.conf.task_default_queue",
    "suite.always_eager": "app.conf.task_always_eager",
    "beat_schedule": "app.conf.beat_schedule",
    "celery_session_app": "celery_app",
    "current_app": "app",
}
"""Expressions of now and of before, put into the same words."""


class Sources(Model):
    """What the sources of the tests come to, before and now.

    `same`: assertions that are as they were. `reworded`: pairs that differ in words of the tables above
    alone. `lost`: what is gone, weakened or skipped. `by_hand`: what the rules alone have not done.
    """

    counts: dict[str, dict[str, int]]
    same: int
    reworded: list[tuple[str, str]]
    lost: list[Finding]
    by_hand: list[Finding]


def sources(before: Suite, by_rule: Suite, now: Suite, app: str = "app") -> Sources:
    """Compare the tests.

    Args:
        app: what the tests of before call the Celery application.
        before: those of before the migration.
        by_rule: those that the rules alone have made of them.
        now: those of now, which somebody may have edited.
    """
    same, reworded, lost = 0, [], list(_lost(before, now, app))
    for path, named in before.items():
        for name, old in named.items():
            new = now.get(path, {}).get(name)
            kept = Counter(old.assertions) & Counter(new.assertions if new else ())
            same += kept.total()
            olds = (Counter(old.assertions) - kept).elements()
            news = list((Counter(new.assertions if new else ()) - kept).elements())
            for one in olds:
                match = next(
                    (other for other in news if in_old_words(other, app) == in_old_words(one, app)), None
                )
                if match is not None:
                    news.remove(match)
                    reworded.append((one, match))
    return Sources(
        counts={"before": dict(counts(before)), "now": dict(counts(now))},
        same=same,
        reworded=reworded,
        lost=lost,
        by_hand=unexplained(compare(by_rule, now, {})),
    )


def _lost(before: Suite, now: Suite, app: str) -> Iterator[Finding]:
    nothing = Function((), (), "")
    for path, named in before.items():
        for name, old in named.items():
            new = now.get(path, {}).get(name)
            if new is None and name.rpartition(".")[2].startswith("test"):
                yield Finding(path, name, "removed", f"{len(old.assertions)} assertions", "")
            gone = _reworded(old, app) - _reworded(new or nothing, app)
            if gone:
                yield Finding(path, name, "weakened", "; ".join(gone.elements()), "")
    for path, named in now.items():
        for name, new in named.items():
            old_skips = before.get(path, {}).get(name, nothing).skips
            if more := Counter(new.skips) - Counter(old_skips):
                yield Finding(path, name, "skipped", "", "; ".join(more.elements()))


def _reworded(function: Function, app: str) -> Counter[str]:
    return Counter(in_old_words(assertion, app) for assertion in function.assertions)


def in_old_words(code: str, app: str = "app") -> str:
    """Return code of a test without `await`, and with the words that it had before."""
    return ast.unparse(_OldWords({**WORDS, app: "app"}).visit(parse(code)))


class _OldWords(ast.NodeTransformer):
    def __init__(self, words: Mapping[str, str]) -> None:
        self.words = words

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.expr) and (word := self.words.get(ast.unparse(node))) is not None:
            return parse_expression(word)
        visited: ast.AST = super().visit(node)
        return visited

    def visit_Await(self, node: ast.Await) -> ast.AST:
        return self.visit(node.value)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        return ast.Attribute(node.value, METHODS.get(node.attr, node.attr), node.ctx)


def same_assertions(found: Sources) -> CheckResult:
    """No test function or assertion is gone or weakened, nothing is skipped, nobody has edited them."""
    bad = [*found.lost, *found.by_hand]
    if bad:
        first = bad[0]
        return CheckResult.failed(
            f"{len(bad)} changes weaken the tests, or may; the first: "
            f"{first.path} {first.name} {first.kind}: {first.before or first.after}",
            [vars(one) for one in bad],
        )
    before = found.counts["before"]
    return CheckResult.passed(
        f"{before['assertions']} assertions in {before['test functions']} test functions: {found.same} "
        f"as they were, {len(found.reworded)} in other words",
        found.counts,
    )
