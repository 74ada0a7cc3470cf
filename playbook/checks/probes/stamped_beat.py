"""The application's Celery app for beat: each message says when it was sent. Named by PLAYBOOK_CELERY_APP."""

import importlib
import os
import time
from typing import Any

from celery.signals import before_task_publish

_module, _, _name = os.environ["PLAYBOOK_CELERY_APP"].partition(":")
app = getattr(importlib.import_module(_module), _name)


@before_task_publish.connect
def stamp(headers: dict[str, Any], **_: Any) -> None:
    """Write the time into the message; TaskIQ's messages have it in their id."""
    headers["sent_at"] = time.time()
