"""The sign of life for an outside monitor."""

from typing import Any

import httpx
from celery import shared_task

from reflector.logger import logger
from reflector.settings import settings


@shared_task
def healthcheck_ping() -> dict[str, Any]:
    """Call HEALTHCHECK_URL, so that a monitor notices when beat or the workers are down.

    Returns {"status": "healthy" | "unhealthy" | "skipped", "code": HTTP status or None}.
    """
    if not settings.HEALTHCHECK_URL:
        return {"status": "skipped", "code": None}
    try:
        response = httpx.get(settings.HEALTHCHECK_URL, timeout=10)
    except httpx.HTTPError as error:
        logger.error("Health check ping failed", url=settings.HEALTHCHECK_URL, error=str(error))
        return {"status": "unhealthy", "code": None}
    return {"status": "healthy" if response.is_success else "unhealthy", "code": response.status_code}
