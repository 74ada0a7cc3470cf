"""The guide's snippets on the installed versions: which of its names exist, and what its calls do."""

import asyncio
import json
import subprocess
import sys

SNIPPETS = {
    "pipeline_middleware": "from taskiq import PipelineMiddleware",
    "retry_middleware": "from taskiq.middlewares import SimpleRetryMiddleware",
    "retry_middleware_short": "from taskiq import SimpleRetryMiddleware",
    "stream_broker": "from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker\n"
    "results = RedisAsyncResultBackend(redis_url='redis://localhost', result_ex_time=86400)\n"
    "broker = RedisStreamBroker(url='redis://localhost', max_connection_pool_size=10)\n"
    "broker.with_result_backend(results)",
    "fixture_registry": "from taskiq import InMemoryBroker\nInMemoryBroker()._tasks",
    "fixture_function": "from taskiq import InMemoryBroker\n"
    "InMemoryBroker().register_task(lambda: 1, task_name='t').original_function",
    "dependency_context": "from taskiq import InMemoryBroker\nb = InMemoryBroker()\n"
    "b.add_dependency_context({int: 1})\nb.custom_dependency_context = {}",
}


def outcome(source: str) -> str:
    """`ok`, or the type of the exception that running `source` raises."""
    try:
        exec(source, {"__name__": "__main__"})  # noqa: S102 - the snippets above
    except Exception as error:
        return type(error).__name__
    return "ok"


async def gather_a_list() -> str:
    """What `await gather([...])` with a list of coroutines does."""
    from taskiq import InMemoryBroker, gather

    task = InMemoryBroker(await_inplace=True).register_task(lambda: 1, task_name="one")
    coroutines = [task.kiq(), task.kiq()]
    try:
        await gather(coroutines)  # type: ignore[arg-type]
    except Exception as error:
        return type(error).__name__
    finally:
        for coroutine in coroutines:
            coroutine.close()
    return "ok"


def unawaited_kiq() -> int:
    """How many messages `task.kiq()` without `await` has sent."""
    from taskiq import InMemoryBroker

    ran: list[int] = []
    task = InMemoryBroker(await_inplace=True).register_task(lambda: ran.append(1), task_name="count")
    coroutine = task.kiq()
    coroutine.close()
    return len(ran)


def late_environment() -> str:
    """The class of the application's broker if ENVIRONMENT=pytest is set after the broker was imported."""
    code = (
        "import os; os.environ['ENVIRONMENT'] = 'production'\n"
        f"from {sys.argv[1]} import broker\n"
        "os.environ['ENVIRONMENT'] = 'pytest'\n"
        "print(type(broker).__name__)"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


facts: dict[str, object] = {name: outcome(source) for name, source in SNIPPETS.items()}
facts["gather_a_list"] = asyncio.run(gather_a_list())
facts["sent_without_await"] = unawaited_kiq()
facts["broker_if_environment_is_set_late"] = late_environment()
print(json.dumps(facts))
