"""What rules take for supported is what the runtime has; and a routed call says what the call said."""

from dataclasses import fields
from inspect import signature
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from playbook.rewrite import supported
from playbook.rewrite.rules.call_sites import CallSites
from playbook.scaffold.worker.context import CurrentTask
from playbook.scaffold.worker.handles import Handle
from playbook.scaffold.worker.retries import POLICY_OPTIONS, RETRY_KWARGS
from playbook.scaffold.worker.running import Request


def test_handles() -> None:
    handle = {name for name in dir(Handle("id")) if not name.startswith("_")}
    assert handle - {"aget", "aready"} == supported.HANDLE
    assert set(supported.AWAITED.values()) <= handle
    assert set(signature(Handle.aget).parameters) >= supported.WAIT_OPTIONS


def test_the_running_task() -> None:
    assert {name for name in vars(CurrentTask) if not name.startswith("_")} == supported.CURRENT_TASK
    assert {field.name for field in fields(Request)} == supported.REQUEST
    assert (
        set(signature(CurrentTask.retry).parameters) - {"self", "options"} | {"queue", "expires"}
        == supported.RETRY
    )
    assert supported.RETRY - {"exc"} == RETRY_KWARGS


def test_task_options() -> None:
    assert set(POLICY_OPTIONS) <= supported.TASK_OPTIONS


VALUES = ["1", "a", "*b", "(yes or no)", "lambda: 0", "[x for x in b]"]
ARGUMENTS = st.lists(st.sampled_from(VALUES), max_size=4)
KEYWORDS = st.lists(st.sampled_from(["name=1", "task=2", "**c", "function=a"]), max_size=3, unique=True)
SPACES = st.sampled_from(["", " ", "\n        "])
RULE = CallSites("app.service", ("app.tasks.rename",), "app.worker.routing")


class Recorder:
    """Stands for the task in the source before, and for the router in the source after."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def delay(self, *args: Any, **kwargs: Any) -> None:
        self.calls.append((args, kwargs))

    def dispatch_sync(self, task: Any, /, *args: Any, **kwargs: Any) -> None:
        assert task is self
        self.calls.append((args, kwargs))


@settings(deadline=None)
@given(positional=ARGUMENTS, keywords=KEYWORDS, space=SPACES, trailing=st.booleans())
def test_a_routed_call_passes_what_the_call_passed(
    positional: list[str], keywords: list[str], space: str, trailing: bool
) -> None:
    arguments = f",{space or ' '}".join([*positional, *keywords])
    comma = "," if trailing and arguments else ""
    call = f"rename.delay({space}{arguments}{comma}{space})"
    source = f"from app.tasks import rename\n\n\ndef call(a, b, c, yes, no):\n    {call}\n"
    outcome = RULE.apply(source)
    assert outcome.refusals == ()
    assert "rename.delay" not in outcome.source
    before, after = _run(source), _run(outcome.source)
    assert len(before) == 1
    assert [_plain(call) for call in after] == [_plain(call) for call in before]


def _run(source: str) -> list[Any]:
    recorder = Recorder()
    names: dict[str, Any] = {"rename": recorder, "dispatch_sync": recorder.dispatch_sync}
    body = "\n".join(line for line in source.splitlines() if not line.startswith("from "))
    exec(compile(body, "<source>", "exec"), names)
    names["call"]("a", [8, 9], {"key": 4}, True, False)
    return recorder.calls


def _plain(call: Any) -> str:
    args, kwargs = call
    return repr(([a if not callable(a) else "callable" for a in args], kwargs))
