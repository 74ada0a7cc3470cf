"""The names of everything that the runtime keeps in Redis.

Invariant: all names begin with one prefix, and its braces make one hash tag of it: on a cluster all keys lie
in one slot, and the scripts can touch several at once.
"""

from dataclasses import dataclass

GROUP = "workers"
"""The consumer group of every stream."""


@dataclass(frozen=True)
class Keys:
    """Key names below `prefix`; on a cluster, `prefix` must hold a hash tag, as in `{taskiq}`."""

    prefix: str

    def stream(self, queue: str) -> str:
        """Stream of the queue's messages."""
        return f"{self.prefix}:queue:{queue}"

    def suspects(self, queue: str) -> str:
        """Stream of messages that have seen workers die; a worker runs one of them at a time."""
        return f"{self.prefix}:suspects:{queue}"

    def delayed(self, queue: str) -> str:
        """Sorted set of messages that are not due yet: token -> due time (ms)."""
        return f"{self.prefix}:delayed:{queue}"

    def payloads(self, queue: str) -> str:
        """Hash of the messages that are not due yet: token -> the entry's fields (MessagePack)."""
        return f"{self.prefix}:payloads:{queue}"

    def workers(self, queue: str) -> str:
        """Sorted set of the queue's workers: name -> end of lease (ms)."""
        return f"{self.prefix}:workers:{queue}"

    def watch(self, queue: str) -> str:
        """Hash with the time of the last heartbeat of any worker, and until when nobody is declared dead."""
        return f"{self.prefix}:watch:{queue}"

    @property
    def dead(self) -> str:
        """Stream of dead letters."""
        return f"{self.prefix}:dead"

    @property
    def revoked(self) -> str:
        """Sorted set of revoked tasks: id -> when that may be forgotten (ms)."""
        return f"{self.prefix}:revoked"

    def workflow(self, id: str) -> str:
        """Hash of a workflow's state (`lua_workflows`)."""
        return f"{self.prefix}:workflow:{id}"

    def result(self, task_id: str) -> str:
        """A task's result, as JSON."""
        return f"{self.prefix}:result:{task_id}"
