"""Collectors of what a run changed outside the task system: rows, files, WebSocket messages."""
