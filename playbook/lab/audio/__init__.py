"""The sample recording, and the script that makes it."""

from pathlib import Path

TWO_SPEAKERS = Path(__file__).parent / "two_speakers.wav"
"""About 15 seconds of two speakers; see PROVENANCE.md beside it."""
