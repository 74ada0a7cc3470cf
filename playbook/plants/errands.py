"""Faults in the simple tasks: webhooks, housekeeping, recordings."""

from playbook.plants.plant import Edit, Plant
from playbook.plants.sending import SEND

PHASE = "02_simple_tasks"
WORKER = "reflector/worker/"
COMPLETED = 'await recordings_controller.set_status(session, recording, "completed")\n'
POLICY = "return RetryPolicy.of(self.celery_task)"

ERRANDS = (
    Plant(
        "webhook-retries-gone",
        PHASE,
        "a webhook that fails is not tried again",
        (Edit(f"{WORKER}twins.py", POLICY, "return RetryPolicy(max_retries=0)"),),
        "webhooks",
        ("webhook_retries", "webhook_requests"),
        by_hand=True,
    ),
    Plant(
        "retry-header-always-0",
        PHASE,
        "the webhook's retry header is always 0",
        (Edit(f"{WORKER}webhook.py", "str(self.request.retries)", '"0"'),),
        "webhooks",
        ("webhook_requests",),
        by_hand=True,
    ),
    Plant(
        "one-retry-too-few",
        PHASE,
        "the limit of retries is counted as attempts: the last one is lost",
        (
            Edit(
                f"{WORKER}retries.py",
                "if limit is not None and retries > limit:",
                "if limit is not None and retries >= limit:",
            ),
        ),
        "webhooks",
        ("webhook_retries", "webhook_requests"),
    ),
    Plant(
        "wrong-delay",
        PHASE,
        "a retry waits a second longer than it should",
        (Edit(f"{WORKER}twins.py", POLICY, "return RetryPolicy(max_retries=30, default_retry_delay=61)"),),
        "webhooks",
        ("webhook_retries",),
    ),
    Plant(
        "webhook-badly-signed",
        PHASE,
        "webhooks are signed with an empty secret",
        (Edit(f"{WORKER}webhook.py", "hmac.new(secret.encode(), signed,", "hmac.new(b'', signed,"),),
        "webhooks",
        ("webhook_signatures",),
    ),
    Plant(
        "refusal-is-retried",
        PHASE,
        "an answer that says no for good is tried again",
        (
            Edit(
                f"{WORKER}webhook.py",
                "        if not response.is_client_error:\n            response.raise_for_status()\n",
                "        response.raise_for_status()\n",
            ),
        ),
        "webhooks",
        ("webhook_requests",),
    ),
    Plant(
        "calls-not-routed",
        PHASE,
        "the router sends everything to Celery: tasks run in the wrong system",
        (
            Edit(
                f"{WORKER}routing.py",
                "if broker.find_task(task.name) is None or flags.system(",
                "if True or flags.system(",
            ),
        ),
        "webhooks",
        ("routed",),
        callers=True,
    ),
    Plant(
        "cleanup-retries-gone",
        PHASE,
        "the clean-up is not tried again by itself",
        (Edit(f"{WORKER}twins.py", POLICY, "return RetryPolicy()"),),
        "housekeeping",
        ("cleanup_retries",),
        by_hand=True,
    ),
    Plant(
        "transaction-gone",
        PHASE,
        "the transaction around a task is gone: what it writes is never committed",
        (
            Edit(
                f"{WORKER}session_decorator.py",
                "        async with get_session_context() as session:\n"
                "            return await func(session, *args, **kwargs)\n",
                "        from reflector.db import get_session_factory\n\n"
                "        async with get_session_factory()() as session:\n"
                "            return await func(session, *args, **kwargs)\n",
            ),
        ),
        "housekeeping",
        ("same_effects_errands",),
        by_hand=True,
    ),
    Plant(
        "positional-arguments-never-run",
        PHASE,
        "session tasks take no positional arguments any more: such calls never run",
        (
            Edit(
                f"{WORKER}session_decorator.py",
                "async def wrapper(*args: Any, **kwargs: Any)",
                "async def wrapper(**kwargs: Any)",
            ),
            Edit(
                f"{WORKER}session_decorator.py",
                "return await func(session, *args, **kwargs)",
                "return await func(session, **kwargs)",
            ),
        ),
        "housekeeping",
        ("same_effects_errands",),
        by_hand=True,
    ),
    Plant(
        "called-in-place",
        PHASE,
        "a task is not sent but called: it runs inside the task that should start it",
        (
            Edit(
                f"{WORKER}process.py",
                "await dispatch(process_recording, bucket_name, object_key)",
                "await process_recording_taskiq.original_func(bucket_name, object_key)",
            ),
        ),
        "recording",
        ("same_effects_recording", "routed"),
    ),
    Plant(
        "one-call-not-routed",
        PHASE,
        "one call site still sends to Celery",
        (
            Edit(
                f"{WORKER}process.py",
                "await dispatch(process_recording, bucket_name, object_key)",
                "process_recording.delay(bucket_name, object_key)",
            ),
        ),
        "recording",
        ("routed",),
    ),
    Plant(
        "queue-message-not-deleted",
        PHASE,
        "a message about a recording stays in the queue",
        (
            Edit(
                f"{WORKER}process.py",
                'await sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])',
                "pass",
            ),
        ),
        "recording",
        ("same_effects_recording",),
    ),
    Plant(
        "processing-sent-before-commit",
        PHASE,
        "the processing is started before the transcript is committed",
        (
            Edit(
                f"{WORKER}process.py",
                f"{COMPLETED}        await session.commit()\n",
                COMPLETED,
            ),
            Edit(
                f"{WORKER}process.py",
                '    log.info("Recording is being processed", ',
                "    import asyncio\n\n    await asyncio.sleep(0.5)  # the window of a slow commit\n"
                '    log.info("Recording is being processed", ',
            ),
        ),
        "recording",
        ("same_effects_recording",),
    ),
)

LOADED = (
    Plant(
        "calls-lost-under-load",
        PHASE,
        "some calls are not sent",
        (Edit(f"{WORKER}routing.py", SEND, f'        if self.options["task_id"][0] > "1":\n    {SEND}'),),
        "flood",
        ("nothing_lost",),
    ),
    Plant(
        "calls-doubled-under-load",
        PHASE,
        "some calls are sent twice",
        (
            Edit(
                f"{WORKER}routing.py", SEND, f'{SEND}        if self.options["task_id"][0] < "2":\n    {SEND}'
            ),
        ),
        "flood",
        ("doubled_in_flight",),
    ),
    Plant(
        "route-read-once",
        PHASE,
        "the live route is read only once, at the start",
        (Edit(f"{WORKER}flags.py", "time.monotonic() - self._read_at >= REFRESH", "self._read_at < 0"),),
        "flood",
        ("goes_back",),
    ),
    Plant(
        "acknowledged-before-the-run",
        PHASE,
        "a message is acknowledged before its task has run: a killed worker loses it",
        (
            Edit(
                f"{WORKER}streams.py",
                "                        self.deliveries[delivery.handle] = delivery\n",
                "                        self.deliveries[delivery.handle] = delivery\n"
                "                        await self.redis.xack(delivery.stream, GROUP, delivery.entry)\n"
                "                        await self.redis.xdel(delivery.stream, delivery.entry)\n",
            ),
        ),
        "flood",
        ("nothing_lost",),
    ),
)
