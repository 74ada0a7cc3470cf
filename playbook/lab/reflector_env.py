"""Reflector, as the lab sees it. The one module here that is about this application."""

from __future__ import annotations

from playbook.lab.target import Services, Target

TRANSCRIPT_BUCKET = "reflector-transcripts"
RECORDING_BUCKET = "reflector-recordings"
RECORDING_QUEUE = "reflector-recordings"


def settings(services: Services) -> dict[str, str]:
    """Return Reflector's settings as environment variables."""
    world = services.world_url
    return {
        "ENVIRONMENT": "development",
        "LOG_LEVEL": "INFO",
        "BASE_URL": services.api_url,
        "UI_BASE_URL": services.api_url,
        "DATA_DIR": str(services.data_dir),
        "DATABASE_URL": services.database_url,
        "REDIS_URL": services.redis_url,
        "CELERY_BROKER_URL": services.redis_url,
        "CELERY_RESULT_BACKEND": services.redis_url,
        "TASKIQ_KEY_PREFIX": f"{services.redis_prefix}taskiq",
        "TRANSCRIPT_URL": f"{world}/transcription",
        "TRANSCRIPT_API_KEY": "lab",
        "DIARIZATION_ENABLED": "true",
        "DIARIZATION_URL": f"{world}/diarization",
        "DIARIZATION_API_KEY": "lab",
        "LLM_URL": f"{world}/llm/v1",
        "LLM_API_KEY": "lab",
        "LLM_MODEL": "lab",
        "ZULIP_URL": f"{world}/zulip",
        "ZULIP_BOT_EMAIL": "bot@example.invalid",
        "ZULIP_API_KEY": "lab",
        "WHEREBY_API_URL": f"{world}/whereby/v1",
        "WHEREBY_API_KEY": "lab",
        "AWS_ENDPOINT_URL": services.aws.endpoint,
        "AWS_REGION": services.aws.region,
        "AWS_ACCESS_KEY_ID": services.aws.access_key_id,
        "AWS_SECRET_ACCESS_KEY": services.aws.secret_access_key,
        "TRANSCRIPT_STORAGE_BUCKET": TRANSCRIPT_BUCKET,
        "RECORDING_STORAGE_BUCKET": RECORDING_BUCKET,
        "AWS_PROCESS_RECORDING_QUEUE_URL": services.aws.queue_url(RECORDING_QUEUE),
        "SQS_POLLING_TIMEOUT_SECONDS": "60",
        "PUBLIC_MODE": "false",
        "PUBLIC_DATA_RETENTION_DAYS": "7",
        "HEALTHCHECK_URL": f"{world}/health-ping",
    }


REFLECTOR = Target(
    celery_app="reflector.worker.app:app",
    asgi_app="reflector.app:app",
    broker="reflector.worker.broker:broker",
    scheduler="reflector.worker.scheduler:scheduler",
    health_path="/health",
    setup=("-m", "reflector.db"),
    buckets=(TRANSCRIPT_BUCKET, RECORDING_BUCKET),
    queues=(RECORDING_QUEUE,),
    settings=settings,
)
