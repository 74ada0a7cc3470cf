"""The kinds of touchpoints: what a use of Celery that is no task, call, canvas or schedule is for."""

from __future__ import annotations

import re

from playbook.inventory.values import App, Decorator, External, Method, Sig, TaskRef, Value

OF_NAME = (
    ("current_task", r"current_task|current_worker_task"),
    ("request", r"celery\.Task\.request|\.app\.task\.Context"),
    (
        "result",
        r"AsyncResult|GroupResult|ResultSet|EagerResult|allow_join_result|celery\.result|"
        r"celery\.Task\.(?:update_state|backend)|celery\.states",
    ),
    ("control", r"\.control\b|\.inspect\b"),
    ("signal", r"celery\.signals|\.on_after_\w+|\.on_configure"),
    ("logger", r"get_task_logger|celery\.utils\.log|celery\.app\.log|^app\.log\b"),
    (
        "exception",
        r"celery\.exceptions|kombu\.exceptions|billiard\.exceptions|celery\.Task\.\w*(?:Error|Exceeded)",
    ),
    ("test", r"celery\.contrib\.(?:pytest|testing)|pytest_celery"),
    ("task_class", r"\.Task$"),
    ("schedule", r"celery\.schedules|celery\.beat|django_celery_beat|redbeat"),
    ("routing", r"^kombu|^app\.amqp"),
    (
        "config",
        r"^app\.(?:conf|config_from|autodiscover_tasks|setup_security|add_defaults|loader|user_options)",
    ),
    ("task_reference", r"^app\.(?:tasks|register_task)"),
    (
        "app",
        r"^app$|^app\.(?:set_default|set_current|finalize|start|worker_main|close|main|Worker|Beat)|\.Celery(?:\(\))?$",
    ),
)


def kind_of(value: Value) -> str | None:
    """The kind of touchpoint that a reference to the value is; None if it has nothing to do with Celery."""
    match value:
        case TaskRef():
            return "task_reference"
        case Method(owner=TaskRef() | Sig()):
            return "task_reference"
        case Decorator():
            return "celery_api"
        case App(path=path):
            return _of_name(f"app.{path}".rstrip("."))
        case External() if value.celery_name:
            return _of_name(value.name)
    return None


def _of_name(name: str) -> str:
    return next((kind for kind, pattern in OF_NAME if re.search(pattern, name)), "celery_api")
