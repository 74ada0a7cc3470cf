"""The modules that the application receives and owns.

This package is a minimal application of its own: `worker/` is what gets copied, `settings.py` and `db.py`
stand where the application's own modules stand. So the copied code runs, is typed and is tested here as it
is there. The copy turns its relative imports into the application's absolute ones; nothing else changes.
"""
