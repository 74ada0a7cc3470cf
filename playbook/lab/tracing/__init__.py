"""Traces of task starts and ends, written by the workers themselves.

The lab loads one of the two modules here into a worker; the application knows nothing of it. Each event is
one JSON line, appended to the file that the environment variable PLAYBOOK_TRACE names.
"""
