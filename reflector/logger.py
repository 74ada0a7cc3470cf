"""Structured logging: one JSON object per line, or readable lines on a terminal."""

import logging
import sys

import structlog

from reflector.settings import settings


def _configure() -> None:
    """Write events of at least LOG_LEVEL to stderr, with level, UTC time and any traceback as text."""
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping().get(settings.LOG_LEVEL.upper(), logging.INFO)
        ),
        # Celery replaces sys.stderr after this module is imported, so the stream is looked up for every line.
        logger_factory=lambda *args: structlog.PrintLogger(file=sys.stderr),
    )


_configure()
logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
