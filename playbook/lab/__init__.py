"""The lab: runs an application for real, with everything around it, and observes what it does.

The only package here that starts processes. What follows is its public interface; each name is loaded when it
is first used, because workers import parts of this package and must stay light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playbook.lab.aws import Aws
    from playbook.lab.children import Finished
    from playbook.lab.databases import ExternalPostgres
    from playbook.lab.effects.rows import read_rows
    from playbook.lab.effects.websocket import Recorder
    from playbook.lab.environment import Lab, Scenario
    from playbook.lab.errors import LabError
    from playbook.lab.masking import mask_url
    from playbook.lab.postgres_server import PostgresServer
    from playbook.lab.process import Process
    from playbook.lab.redis_server import ExternalRedis, RedisServer, ping_redis
    from playbook.lab.target import Services, Target
    from playbook.lab.tracing.trace_file import read_trace
    from playbook.lab.waiting import wait_until
    from playbook.lab.world import World

_HOMES = {
    "Aws": "aws",
    "ExternalPostgres": "databases",
    "ExternalRedis": "redis_server",
    "Finished": "children",
    "Lab": "environment",
    "LabError": "errors",
    "PostgresServer": "postgres_server",
    "Process": "process",
    "Recorder": "effects.websocket",
    "RedisServer": "redis_server",
    "Scenario": "environment",
    "Services": "target",
    "Target": "target",
    "World": "world",
    "mask_url": "masking",
    "ping_redis": "redis_server",
    "read_rows": "effects.rows",
    "read_trace": "tracing.trace_file",
    "wait_until": "waiting",
}

__all__ = [
    "Aws",
    "ExternalPostgres",
    "ExternalRedis",
    "Finished",
    "Lab",
    "LabError",
    "PostgresServer",
    "Process",
    "Recorder",
    "RedisServer",
    "Scenario",
    "Services",
    "Target",
    "World",
    "mask_url",
    "ping_redis",
    "read_rows",
    "read_trace",
    "wait_until",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
