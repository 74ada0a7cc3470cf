"""A playbook that moves a Celery application to TaskIQ, one proven phase at a time."""
