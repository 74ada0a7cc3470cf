"""Callbacks that wait for a database transaction.

A task that is sent before the sender's commit may start before it, and then it does not find the rows that it
is about.

    delay_after_commit(session, rename, transcript_id)

Invariant: a callback runs once, after the outermost transaction that was open when it was registered has
been committed. If that, or a savepoint around the registration, is rolled back, it never runs. It is kept in
this process only: if the process dies between the commit and the callback, the callback is lost.
"""

import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from .sent import Handle

Callback = Callable[[], Any]


def after_commit(session: AsyncSession | Session, callback: Callback) -> None:
    """Call `callback` once the session's transaction is committed; at once if none is open.

    Args:
        session: any session of SQLAlchemy's. It begins a transaction with its first statement or change.
        callback: a synchronous function. If callbacks fail, all are run, and the first error comes out of
            `session.commit()`; the data is committed and the session usable then.
    """
    inner = session.sync_session if isinstance(session, AsyncSession) else session
    transaction = inner.get_nested_transaction() or inner.get_transaction()
    if transaction is None:
        callback()
        return
    waiting = inner.info.get(_Waiting)
    if waiting is None:
        waiting = inner.info[_Waiting] = _Waiting()
        event.listen(inner, "after_commit", waiting.committed)
        # Not in "after_commit": an error there would leave the session in the middle of its commit.
        event.listen(inner, "after_transaction_end", waiting.ended)
    waiting.callbacks.setdefault(transaction, []).append(callback)


def delay_after_commit(session: AsyncSession | Session, task: Any, /, *args: Any, **kwargs: Any) -> Handle:
    """Send a task or canvas once the session's transaction is committed; never, if it is rolled back.

    Returns:
        The handle of what will be sent. Its id is final already.
    """
    task_id = str(uuid.uuid4())
    after_commit(session, lambda: task.apply_async_sync(args, kwargs, task_id=task_id))
    return Handle(task_id, own=True)


class _Waiting:
    """The callbacks of one session, by the transaction that they were registered in."""

    def __init__(self) -> None:
        self.callbacks: dict[SessionTransaction, list[Callback]] = {}
        self.done: set[SessionTransaction] = set()

    def committed(self, session: Session) -> None:
        transaction = session.get_nested_transaction() or session.get_transaction()
        if transaction in self.callbacks:
            self.done.add(transaction)

    def ended(self, _session: Session, transaction: SessionTransaction) -> None:
        callbacks = self.callbacks.pop(transaction, [])
        if transaction not in self.done:
            return
        self.done.discard(transaction)
        if transaction.parent is not None:
            self.callbacks.setdefault(transaction.parent, []).extend(callbacks)
            return
        errors = []
        for callback in callbacks:
            try:
                callback()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
