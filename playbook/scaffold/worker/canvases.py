"""Celery's canvases as workflows (dual mode; cutover deletes this).

Invariant: a canvas runs on one system as a whole. It goes to TaskIQ only if the flags name TaskIQ for each of
its tasks, each has a twin, and TaskIQ can keep every option in it.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from celery.canvas import Signature as CelerySignature
from taskiq import AsyncBroker

from .canvas import CELERY_NAMES, Chain, Chord, Chunks, Group, Signature, listed, signature
from .plans import Plan
from .workflow import start

logger = logging.getLogger(__name__)

Keep = Callable[[Any, Signature], dict[str, Any] | str]
"""Gives the options that a call of a Celery task has on TaskIQ, or says why it is Celery's."""

CALLBACKS = ("link", "link_error", "task_id")


def is_canvas(task: Any) -> bool:
    """Tell whether it is more than the call of one task."""
    if not isinstance(task, CelerySignature):
        return False
    own = task.get("subtask_type") or task["task"].startswith("celery.")
    return bool(own or task.options.get("link") or task.options.get("link_error"))


@dataclass(frozen=True)
class Workflow:
    """A canvas as TaskIQ runs it.

    Attributes:
        plan: its plan.
        lineage: ids of root and parent; None: of the task that runs here.
    """

    plan: Plan
    lineage: tuple[str | None, str | None] | None

    @property
    def id(self) -> str:
        """The id of its result."""
        return self.plan.final

    async def send(self, client: AsyncBroker) -> None:
        """Start it through a broker."""
        await start(self.plan, client, self.lineage)


def translated(canvas: CelerySignature, keep: Keep) -> Signature | None:
    """Return the canvas for TaskIQ, None if it is Celery's.

    Args:
        canvas: Celery's, of any shape.
        keep: see `Keep`.
    """
    own = signature(canvas)
    for call in calls(own):
        if call.task in CELERY_NAMES.values():
            # Its options are those of Celery's task of the same kind, which no application sets.
            continue
        kept = keep(canvas.app.tasks[call.task], call)
        if isinstance(kept, str):
            if kept:
                logger.warning("a canvas goes to Celery because of %s: %s", call.task, kept)
            return None
        call.options = kept | {name: call.options[name] for name in CALLBACKS if name in call.options}
    return own


def calls(canvas: Signature) -> Iterator[Signature]:
    """Yield the calls of single tasks in a canvas, callbacks included."""
    match canvas:
        case Chain() | Group():
            parts = canvas.tasks
        case Chord():
            parts = [*canvas.tasks, *([canvas.body] if canvas.body else [])]
        case Chunks():
            parts = [signature(canvas.kwargs["task"])]
        case _:
            parts = []
            yield canvas
            if canvas.task in CELERY_NAMES.values():
                parts = [signature(canvas.kwargs["task"])]
    for name in ("link", "link_error"):
        callbacks = listed(canvas.options.get(name))
        if callbacks:
            canvas.options[name] = callbacks
        parts = [*parts, *callbacks]
    for part in parts:
        yield from calls(part)
