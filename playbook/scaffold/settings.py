"""Stand-in for the application's settings: the fields that the worker modules read.

The fields marked below are added to the application's own `Settings`; the others are expected there already.
"""

from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    """Values from the environment, under the same names."""

    ENVIRONMENT: str = "production"
    CELERY_BROKER_URL: str = "redis://localhost:6379/1"

    # TaskIQ: which Redis (None: the one Celery uses), the prefix of every key, how long results are kept
    # (seconds).
    TASKIQ_REDIS_URL: str | None = None
    TASKIQ_KEY_PREFIX: str = "taskiq"
    TASKIQ_RESULT_TTL: int = 86_400


settings = Settings()
