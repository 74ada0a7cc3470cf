"""What all checks of a phase look at is looked at once."""

from collections.abc import Callable
from functools import cache, wraps
from typing import TypeVar

from playbook.contracts import CheckContext
from playbook.errors import PlaybookError

T = TypeVar("T")


def once(look: Callable[[CheckContext], T]) -> Callable[[CheckContext], T]:
    """Return a function that does what `look` does, the first time it is called for a context.

    An error of the playbook is kept as well: what could not be done is not tried again, and every check says
    the same.
    """

    @cache
    def outcome(context: CheckContext) -> T | PlaybookError:
        try:
            return look(context)
        except PlaybookError as error:
            return error

    @wraps(look)
    def again(context: CheckContext) -> T:
        found = outcome(context)
        if isinstance(found, PlaybookError):
            raise found
        return found

    return again
