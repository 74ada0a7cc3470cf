"""Recorded behaviour of Celery, replayed on the application's own runtime."""
