"""A tiny application on Celery and TaskIQ, for the tests of the lab."""
