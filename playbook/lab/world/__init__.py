"""The outside world: one local HTTP server that plays every service and records what it is asked."""

from playbook.lab.world.client import World

__all__ = ["World"]
