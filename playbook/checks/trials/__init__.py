"""Trials: the parts of the phases' checks, each on a copy of the workspace that may hold planted faults.

What Celery does in a trial is observed once, on the source as it is; the copies are held against that.
"""
