"""Whether the API process can do its work."""

import asyncio
from collections.abc import Awaitable
from typing import Literal

from fastapi import APIRouter, Response, status
from pydantic import BaseModel
from redis.asyncio import Redis
from sqlalchemy import text

from reflector.db import get_session_context
from reflector.logger import logger
from reflector.settings import settings

router = APIRouter(tags=["health"])

CHECK_SECONDS = 5.0

State = Literal["ok", "unreachable"]


class Health(BaseModel):
    """The state of what the API needs."""

    status: Literal["healthy", "unhealthy"]
    database: State
    redis: State


@router.get("/health")
async def health(response: Response) -> Health:
    """Ask the database and Redis; 503 if one of them does not answer."""
    database, redis = await asyncio.gather(_state("database", _ask_database()), _state("redis", _ask_redis()))
    healthy = database == redis == "ok"
    if not healthy:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return Health(status="healthy" if healthy else "unhealthy", database=database, redis=redis)


async def _state(name: str, question: Awaitable[None]) -> State:
    try:
        await asyncio.wait_for(question, CHECK_SECONDS)
    except Exception as error:  # whatever a driver raises, the answer is the same
        logger.warning("Health check failed", part=name, error=str(error) or type(error).__name__)
        return "unreachable"
    return "ok"


async def _ask_database() -> None:
    async with get_session_context() as session:
        await session.execute(text("SELECT 1"))


async def _ask_redis() -> None:
    async with Redis.from_url(settings.REDIS_URL) as client:
        await client.ping()
