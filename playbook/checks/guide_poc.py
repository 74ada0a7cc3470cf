"""The guide's claims about the proof of concept: its POC results, its key points, its snippets."""

from playbook.checks.guide import GuideClaim

POC = "Verified POC results"
SESSIONS = "Key points, 1: sessions"
INVOCATION = "Key points, 2: invocation"
BROKER = "Key points, 3: broker"
TESTS = "Key points, 4: tests"
IMPORTS = "Key points, 5: imports"
DECORATORS = "Key points, 6: decorators"
SNIPPETS = "Snippets on current versions"

CLAIMS = (
    GuideClaim(
        POC,
        "Transactions work across a test and the tasks that it sends.",
        True,
        lambda f: f["task_sees_committed"] and f["test_sees_what_the_task_wrote"],
        "The task sees what the test committed: {task_sees_committed}. The test sees what the task wrote: "
        "{test_sees_what_the_task_wrote}. The task sees what the test has not committed: "
        "{task_sees_uncommitted}.",
    ),
    GuideClaim(
        POC,
        "Under InMemoryBroker(await_inplace=True) a task has run when kiq returns.",
        True,
        lambda f: f["ran_before_kiq_returned"],
        "It ran before kiq returned: {ran_before_kiq_returned}. Its error reaches: {error_reaches}.",
        "A test must look at the result: kiq does not raise what the task raised.",
    ),
    GuideClaim(
        POC,
        "Replacing get_session in a test reaches the tasks.",
        False,
        lambda f: f["mock_reaches_by_attribute"] and f["mock_reaches_by_imported_name"],
        "Reached when called as db.get_session(): {mock_reaches_by_attribute}; through @with_session: "
        "{mock_reaches_by_decorator}; by a name imported before: {mock_reaches_by_imported_name}.",
        "Tasks keep @with_session, which looks the function up when it is called.",
    ),
    GuideClaim(
        POC,
        "A TaskIQ task runs in a test and its output (OK) comes back.",
        True,
        lambda f: f["output"] == "OK",
        "The result was {output}.",
    ),
    GuideClaim(
        SESSIONS,
        "get_session_factory() bypasses a test's replacement of get_session; do not use it in tasks.",
        True,
        lambda f: not f["mock_reaches_by_factory"],
        "The replacement reaches the factory: {mock_reaches_by_factory}.",
    ),
    GuideClaim(
        SESSIONS,
        "A test's own session is shared with the task when the task uses get_session().",
        False,
        lambda f: f["task_sees_uncommitted"],
        "Without a replacement the task sees the test's uncommitted row: {task_sees_uncommitted}.",
        "The task has a session of its own. A test commits first, or replaces get_session.",
    ),
    GuideClaim(
        SESSIONS,
        "First approach: @with_session under @broker.task.",
        True,
        lambda f: f["decorated_commits"],
        "The task ran and its write was committed: {decorated_commits}.",
    ),
    GuideClaim(
        SESSIONS,
        "Second approach: `async for session in get_session()`.",
        False,
        lambda f: f["looping_commits"] and f["looping_and_returning_commits"],
        "Committed: {looping_commits}. Committed when the task returns from within the loop: "
        "{looping_and_returning_commits}.",
        "`async with get_session_context()`. A return inside the loop leaves the generator hanging "
        "before its commit, and the write is gone.",
    ),
    GuideClaim(
        SESSIONS,
        "Third approach: a session through TaskiqDepends.",
        True,
        lambda f: f["injected_commits"],
        "The task ran and its write was committed: {injected_commits}.",
    ),
    GuideClaim(
        INVOCATION,
        "A call becomes `await task.kiq(...)`.",
        True,
        lambda f: f["sent_without_await"] == 0 and f["health"] == "healthy",
        "Awaited, it came back from a worker: {health}. Messages sent by a kiq without await: "
        "{sent_without_await}.",
        "The await is not optional: without it nothing is sent and nothing is said.",
    ),
    GuideClaim(
        INVOCATION,
        "There is no need to commit before a task is sent.",
        False,
        lambda f: f["worker_sees_uncommitted"],
        "A worker sees the row of the open transaction: {worker_sees_uncommitted}; after the commit: "
        "{worker_sees_committed}.",
        "Commit first, then send. Running in place in tests hides the mistake.",
    ),
    GuideClaim(
        BROKER,
        "The broker must be initialised in worker/app.py.",
        False,
        lambda f: f["health"] != "healthy",
        "With the broker in worker/broker.py a round trip through a worker came back {health}.",
        "worker/broker.py, as the guide's own second section has it: importing TaskIQ code then needs"
        " no Celery.",
    ),
    GuideClaim(
        BROKER,
        "InMemoryBroker(await_inplace=True) for tests.",
        True,
        lambda f: f["broker"] == "InMemoryBroker" and f["ran_before_kiq_returned"],
        "Under ENVIRONMENT=pytest the application's broker is {broker}.",
    ),
    GuideClaim(
        BROKER,
        "RedisStreamBroker as it comes for production.",
        False,
        lambda f: f["stock_ran"] == f["sent_early"],
        "Of {sent_early} messages sent before the first worker was there, the guide's broker ran "
        "{stock_ran}, the migrated one {migrated_ran}.",
        "StreamBroker, a subclass that reads from the beginning and deletes what was acknowledged.",
    ),
    GuideClaim(
        TESTS,
        'Setting ENVIRONMENT to "pytest" at the top of a test file selects the in-memory broker.',
        False,
        lambda f: f["broker_if_environment_is_set_late"] == "InMemoryBroker",
        "Set after the broker was imported, the broker stays {broker_if_environment_is_set_late}.",
        "Set it before anything of the application is imported: in conftest.py or in the environment.",
    ),
    GuideClaim(
        TESTS,
        "The broker fixture copies broker._tasks and task.original_function.",
        False,
        lambda f: f["fixture_registry"] == "ok" and f["fixture_function"] == "ok",
        "_tasks: {fixture_registry}. original_function: {fixture_function}.",
        "The names are local_task_registry and original_func. No fixture is needed under ENVIRONMENT=pytest.",
    ),
    GuideClaim(
        TESTS,
        "The broker fixture makes kiq use the test broker.",
        False,
        lambda f: f["fixture_redirects_kiq"],
        "With its names corrected, kiq uses the fixture's broker: {fixture_redirects_kiq}.",
        "A task sends through the broker that it was registered on; that one has to be in-memory.",
    ),
    GuideClaim(
        TESTS,
        "The Celery fixtures can stay during dual mode.",
        True,
        lambda f: f["celery_unchanged"],
        "Celery's tasks and their options are the same before and after: {celery_unchanged}.",
    ),
    GuideClaim(
        IMPORTS,
        "A module exports both versions, the TaskIQ one with the suffix _taskiq.",
        True,
        lambda f: f["twin_registered"] and f["celery_unchanged"],
        "The twin is registered under the task's own name: {twin_registered}.",
    ),
    GuideClaim(
        DECORATORS,
        "@asynctask can go: TaskIQ runs coroutines itself.",
        True,
        lambda f: f["native_runs_in_the_loop"] and not f["bridged_runs_in_the_loop"],
        "In the worker's loop without it: {native_runs_in_the_loop}; with it: {bridged_runs_in_the_loop}.",
    ),
    GuideClaim(
        DECORATORS,
        "@with_session works under TaskIQ as it is.",
        False,
        lambda f: f["positional_stock"] == [1, "007"],
        'Positional arguments 1 and "007" arrived as {positional_stock}; with the wire signature stated, as '
        "{positional_migrated}.",
        "The decorator states the wire signature: without it TaskIQ takes the first argument for the "
        "session.",
    ),
    GuideClaim(
        DECORATORS,
        "@shared_task stays on the Celery version and is not on the TaskIQ one.",
        True,
        lambda f: f["celery_unchanged"] and f["twin_registered"],
        "Celery unchanged: {celery_unchanged}. Twin registered: {twin_registered}.",
    ),
    GuideClaim(
        SNIPPETS,
        "from taskiq import PipelineMiddleware",
        False,
        lambda f: f["pipeline_middleware"] == "ok",
        "{pipeline_middleware}",
        "No middleware is needed: the application gets a workflow module of its own.",
    ),
    GuideClaim(
        SNIPPETS,
        "from taskiq.middlewares import SimpleRetryMiddleware",
        True,
        lambda f: f["retry_middleware"] == "ok",
        "{retry_middleware}",
        "It exists, but retries differently from Celery; a later phase replaces it.",
    ),
    GuideClaim(
        SNIPPETS,
        "RedisStreamBroker(...).with_result_backend(RedisAsyncResultBackend(...))",
        True,
        lambda f: f["stream_broker"] == "ok",
        "{stream_broker}",
    ),
    GuideClaim(
        SNIPPETS,
        "await gather([a.kiq(), b.kiq()])",
        False,
        lambda f: f["gather_a_list"] == "ok",
        "{gather_a_list}",
        "gather takes sent tasks, one argument each; and it is no chord.",
    ),
    GuideClaim(
        SNIPPETS,
        "broker.add_dependency_context({...})",
        True,
        lambda f: f["dependency_context"] == "ok",
        "{dependency_context}",
    ),
    GuideClaim(
        SNIPPETS,
        "taskiq worker reflector.worker.broker:broker",
        False,
        lambda f: f["ran_without_modules"] > 0,
        "A worker started so acknowledged all {sent_early} messages and ran {ran_without_modules}.",
        "Name every module that defines tasks after the broker.",
    ),
)
