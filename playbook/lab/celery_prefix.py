"""Celery configuration for a Redis that is not ours: every key gets the prefix in PLAYBOOK_REDIS_PREFIX.

Celery's loader reads the module that the environment variable CELERY_CONFIG_MODULE names
(celery/loaders/base.py), so the application needs to know nothing. What the application itself sets for these
two options takes precedence.
"""

import os

_prefix = os.environ["PLAYBOOK_REDIS_PREFIX"]

broker_transport_options = {"global_keyprefix": _prefix}
result_backend_transport_options = {"global_keyprefix": _prefix}
