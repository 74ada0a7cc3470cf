"""The application's settings, read from environment variables or a `.env` file in the working directory."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Every setting of the application. The environment variable has the same name as the field."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    ENVIRONMENT: str = "development"
    LOG_LEVEL: str = "INFO"
    BASE_URL: str = "http://localhost:1250"
    UI_BASE_URL: str = "http://localhost:3000"
    DATA_DIR: Path = Path("data")

    DATABASE_URL: str = "sqlite+aiosqlite:///./reflector.sqlite3"
    REDIS_URL: str = "redis://localhost:6379/1"
    CELERY_BROKER_URL: str = "redis://localhost:6379/1"
    CELERY_RESULT_BACKEND: str = "redis://localhost:6379/1"

    TRANSCRIPT_URL: str = "http://localhost:8001"
    TRANSCRIPT_API_KEY: str | None = None
    DIARIZATION_ENABLED: bool = True
    DIARIZATION_URL: str = "http://localhost:8002"
    DIARIZATION_API_KEY: str | None = None
    LLM_URL: str = "http://localhost:8003/v1"
    LLM_API_KEY: str | None = None
    LLM_MODEL: str = "default"

    ZULIP_URL: str | None = None
    ZULIP_BOT_EMAIL: str | None = None
    ZULIP_API_KEY: str | None = None

    WHEREBY_API_URL: str = "https://api.whereby.dev/v1"
    WHEREBY_API_KEY: str | None = None

    AWS_ENDPOINT_URL: str | None = None
    AWS_REGION: str = "us-east-1"
    AWS_ACCESS_KEY_ID: str | None = None
    AWS_SECRET_ACCESS_KEY: str | None = None
    TRANSCRIPT_STORAGE_BUCKET: str | None = None
    RECORDING_STORAGE_BUCKET: str | None = None
    AWS_PROCESS_RECORDING_QUEUE_URL: str | None = None
    SQS_POLLING_TIMEOUT_SECONDS: int = 60

    PUBLIC_MODE: bool = False
    PUBLIC_DATA_RETENTION_DAYS: int = 7
    HEALTHCHECK_URL: str | None = None


settings = Settings()
