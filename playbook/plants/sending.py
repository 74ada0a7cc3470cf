"""Faults in how tasks are registered, called and carried."""

from playbook.plants.plant import Edit, Plant

WORKER = "reflector/worker/"
PHASE = "02_simple_tasks"
CALLS = "05_validation"
SEND = "        await send(task, self.args, self.kwargs, **self.options)\n"
BARE = "bare = [p.replace(annotation=injected.get(p.name, inspect.Parameter.empty)) for p in parameters]"
SYNC_ROOM = '"reflector.worker.ics_sync.sync_room_ics"'

REGISTERED = (
    Plant(
        "twin-missing",
        PHASE,
        "a task has no twin on TaskIQ",
        (Edit(f"{WORKER}ics_sync.py", f"sync_room_ics_taskiq = twin(sync_room_ics, {SYNC_ROOM})\n", ""),),
        "registered",
        ("twins",),
    ),
    Plant(
        "task-names-changed",
        PHASE,
        "a task has another name on TaskIQ, so that nothing in flight is understood",
        (
            Edit(
                f"{WORKER}ics_sync.py",
                f"twin(sync_room_ics, {SYNC_ROOM})",
                f'twin(sync_room_ics, {SYNC_ROOM[:-1]}_taskiq")',
            ),
        ),
        "registered",
        ("twins",),
        by_hand=True,
    ),
    Plant(
        "session-from-the-message",
        PHASE,
        "a session decorator hides its wire signature, so that messages are to bring the session",
        (Edit(f"{WORKER}session_decorator.py", "wire_signature(func, first=1)\n", "wire_signature(func)\n"),),
        "registered",
        ("twins",),
    ),
    Plant(
        "celery-options-changed",
        PHASE,
        "the Celery task gets other retry options on the way",
        (Edit(f"{WORKER}webhook.py", "max_retries=30", "max_retries=29"),),
        "registered",
        ("celery_unchanged",),
    ),
    Plant(
        "pipeline-twin-missing",
        "03_pipelines",
        "a step of the live pipeline has no twin",
        (
            Edit(
                "reflector/pipelines/main_live_pipeline.py",
                "task_pipeline_title_taskiq = twin(\n"
                '    task_pipeline_title, "reflector.pipelines.main_live_pipeline.task_pipeline_title"\n)\n',
                "",
            ),
        ),
        "registered",
        ("twins",),
    ),
)

CALLED = (
    Plant(
        "double-delivery",
        CALLS,
        "each call is sent twice",
        (Edit(f"{WORKER}routing.py", SEND, SEND + SEND),),
        "calls",
        ("calls_arrive",),
    ),
    Plant(
        "arguments-dropped",
        CALLS,
        "the router loses positional arguments",
        (Edit(f"{WORKER}routing.py", "await send(task, self.args, self", "await send(task, (), self"),),
        "calls",
        ("calls_arrive",),
    ),
    Plant(
        "types-become-text",
        CALLS,
        "datetime, UUID and Decimal arrive as text",
        (
            Edit(
                f"{WORKER}serialization.py",
                "json.JSONEncoder(default=_encode)",
                "json.JSONEncoder(default=str)",
            ),
        ),
        "calls",
        ("calls_arrive",),
    ),
    Plant(
        "arguments-coerced",
        CALLS,
        "arguments are converted to the annotated types, which Celery never does",
        (
            Edit(
                f"{WORKER}wire.py",
                BARE,
                "bare = parameters",
            ),
            Edit(
                f"{WORKER}wire.py",
                "run.__annotations__ = injected",
                "run.__annotations__ = function.__annotations__",
            ),
        ),
        "calls",
        ("calls_arrive",),
    ),
    Plant(
        "lost-countdown",
        CALLS,
        "a countdown is lost: the task starts at once",
        (Edit(f"{WORKER}sending.py", '"countdown": None if countdown is None else float(countdown),', ""),),
        "calls",
        ("calls_arrive",),
    ),
    Plant(
        "eta-in-another-zone",
        CALLS,
        "a naive due time is read as local time of another zone",
        (
            Edit(
                f"{WORKER}sending.py",
                "return time if time.tzinfo else time.replace(tzinfo=UTC)",
                "from zoneinfo import ZoneInfo\n\n"
                '    return time if time.tzinfo else time.replace(tzinfo=ZoneInfo("Asia/Tokyo"))',
            ),
        ),
        "calls",
        ("calls_arrive",),
    ),
    Plant(
        "lost-expiry",
        CALLS,
        "an expiry is lost: what came too late is run all the same",
        (
            Edit(
                f"{WORKER}sending.py",
                '"expires": aware(expires).isoformat() if isinstance(expires, datetime) else expires,',
                "",
            ),
        ),
        "calls",
        ("calls_arrive",),
    ),
    Plant(
        "wrong-queue",
        CALLS,
        "the queue of a call is ignored: everything goes to the default queue",
        (
            Edit(f"{WORKER}routing.py", '"queue": None if queue == default else queue}', '"queue": None}'),
            Edit(
                f"{WORKER}routing.py",
                "if queue not in (None, default) and queue not in",
                "if queue not in (None, default, queue) and queue not in",
            ),
        ),
        "calls",
        ("calls_arrive",),
    ),
    Plant(
        "flag-of-one-task-ignored",
        CALLS,
        "the route of a single task is ignored, the one for all counts",
        (
            Edit(
                f"{WORKER}flags.py",
                "return self.shares.get(task_name, self.shares.get(ALL))",
                "return self.shares.get(ALL)",
            ),
        ),
        "calls",
        ("calls_arrive",),
    ),
    Plant(
        "other-id",
        CALLS,
        "a task runs under another id than its caller was told",
        (Edit(f"{WORKER}sending.py", "with_task_id(task_id)", "with_task_id(None)"),),
        "calls",
        ("calls_arrive",),
    ),
    Plant(
        "sent-before-commit",
        CALLS,
        "what waits for the commit is sent at once, also if the transaction is rolled back",
        (Edit(f"{WORKER}commits.py", "    if transaction is None:\n", "    if True:\n"),),
        "calls",
        ("calls_arrive",),
    ),
    Plant(
        "error-swallowed",
        CALLS,
        "a synchronous task that fails has ended well for its caller",
        (
            Edit(
                f"{WORKER}wire.py",
                "        return target(*first, *args, **kwargs)\n",
                "        try:\n            return target(*first, *args, **kwargs)\n"
                "        except Exception:\n            return None\n",
            ),
        ),
        "calls",
        ("calls_arrive",),
    ),
    Plant(
        "lineage-lost",
        CALLS,
        "a task does not know any more which task has sent it",
        (Edit(f"{WORKER}middleware.py", 'message.labels.setdefault("parent_id", task.request.id)', "pass"),),
        "calls",
        ("calls_arrive",),
    ),
    Plant(
        "waiting-tools-do-not-wait",
        CALLS,
        "who waits for a result gets nothing at once",
        (
            Edit(
                f"{WORKER}handles.py",
                "        while not await self.aready():",
                "        if not await self.aready():\n            return None\n"
                "        while not await self.aready():",
            ),
        ),
        "calls",
        ("calls_arrive",),
        by_hand=True,
    ),
)
