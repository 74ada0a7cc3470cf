"""Background work: the Celery application, its schedule and its tasks."""
