"""The slice of phase 05_validation: the application's tests run on the system that the flags name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

import libcst as cst
import libcst.matchers as m
from libcst.metadata import PositionProvider

from playbook.config import Application
from playbook.contracts import Slice
from playbook.rewrite.dual_mode import inventory_of
from playbook.rewrite.edit import Edit
from playbook.rewrite.result_use import HANDED_ON
from playbook.rewrite.routed import SENDERS, Sends
from playbook.rewrite.rule import Refusal, code_of, parse
from playbook.rewrite.rules.results import Results
from playbook.rewrite.rules.suite_plugin import SuitePlugin
from playbook.tree import Tree

MODULES = ("testing", "testing_worker")
BY_NAME = "it goes to Celery, whatever the flags say; send the task itself, or use dispatch by hand"
REMOTE = "it asks Celery's workers alone; look at the TaskIQ worker by hand"
REFUSED: tuple[tuple[m.BaseMatcherNode, str], ...] = (
    (m.Attribute(attr=m.Name("send_task")), BY_NAME),
    (m.Attribute(value=m.Attribute(attr=m.Name("control"))), REMOTE),
)
"""What only Celery can answer, in code that mentions Celery."""


def slice_(application: Application, tree: Tree) -> Slice:
    """Let the application's tests run on either system; the tests themselves stay as they are.

    Args:
        application: what is migrated.
        tree: the working copy's files, with the router in place (02_simple_tasks).

    Raises:
        ConfigError: `playbook.toml` names a broker that the slice cannot make.
    """
    edit = Edit(application, tree)
    if application.tests is None:
        return edit.done()
    for module in MODULES:
        edit.copy(module)
    plugin = f"{edit.worker}.{MODULES[0]}"
    conftest = f"{application.tests}/conftest.py"
    if conftest not in edit.tree:
        edit.tree = edit.tree.with_file(conftest, '"""The tests run on the system that the flags name."""\n')
    edit.apply(conftest, SuitePlugin(plugin))
    tasks = {f"{task.module}.{task.function}" for task in inventory_of(application, tree).tasks}
    for path in test_files(application, edit.tree):
        if "AsyncResult" in edit.tree[path]:
            edit.apply(path, Results(f"{edit.worker}.handles"))
        _refuse(edit, path, tasks)
    return edit.done()


def test_files(application: Application, tree: Tree) -> Iterator[str]:
    """Yield the paths of the Python files among an application's tests."""
    for path in tree:
        inside = application.tests and PurePosixPath(path).is_relative_to(application.tests)
        if inside and path.endswith(".py"):
            yield path


def _refuse(edit: Edit, path: str, tasks: set[str]) -> None:
    """Refuse what a test asks for that TaskIQ does not answer."""
    text = edit.tree[path]
    try:
        wrapper = parse(text)
    except cst.ParserSyntaxError as error:
        return edit.refuse(path, error.raw_line, "file", f"libcst cannot parse it: {error.message}")
    # Resolving names takes seconds for all tests together; few of them send anything.
    if any(f".{sender}" in text for sender in SENDERS):
        uses = _Uses(path.removesuffix(".py").replace("/", "."), tasks)
        wrapper.visit(uses)
        for refusal in uses.refusals:
            edit.refuse(path, refusal.line, refusal.construct, refusal.reason)
    if "celery" not in text:
        return
    positions = wrapper.resolve(PositionProvider)
    for pattern, reason in REFUSED:
        for node in m.findall(wrapper.module, pattern):
            edit.refuse(path, positions[node].start.line, code_of(node), reason)


class _Uses(Sends):
    """Finds results of calls of which a test wants more than a handle has."""

    def __init__(self, module: str, tasks: set[str]) -> None:
        super().__init__(module, "")
        self.tasks = tasks

    def is_sent(self, node: cst.BaseExpression) -> bool:
        return bool(self.names_of(node) & self.tasks)

    def reason_in_target(self, node: cst.BaseExpression) -> str | None:
        return None

    def add(
        self,
        site: cst.CSTNode,
        router: str,
        reason: str | None,
        target: Callable[[cst.Call], cst.BaseExpression],
        args: Callable[[cst.Call], list[cst.Arg]] = lambda call: list(call.args),
    ) -> None:
        found = self.use.reason(site) if isinstance(site, cst.Call) else None
        if found not in (None, HANDED_ON):
            line = self.get_metadata(PositionProvider, site).start.line
            self.refusals.append(Refusal(line, code_of(site), f"{found}; on TaskIQ the test fails there"))
