"""The sample recording, and the script that makes it."""
