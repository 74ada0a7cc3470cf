"""A task that proves the whole way: sender, Redis, worker, result."""

from datetime import UTC, datetime

from .broker import broker


@broker.task(task_name=f"{__name__}.health_check")
async def health_check() -> dict[str, str]:
    """Return `{"status": "healthy", "timestamp": <ISO 8601, UTC>}` from the worker that ran it."""
    return {"status": "healthy", "timestamp": datetime.now(UTC).isoformat()}
