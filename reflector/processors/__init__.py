"""Everything that turns audio into knowledge. No database and no task queue in here.

Audio is decoded in this process (`audio`); words, speakers, topics and summaries come from outside services
over HTTP.
"""

from reflector.processors.audio import chunks, duration_ms, probe, waveform, write_mp3
from reflector.processors.diarize import assign_speakers, diarize
from reflector.processors.errors import (
    AudioError,
    ProcessorError,
    ServiceError,
    ServiceRejected,
    ServiceUnavailable,
)
from reflector.processors.topics import (
    detect_topic,
    detect_topics,
    split_words,
    write_long_summary,
    write_short_summary,
    write_title,
)
from reflector.processors.transcribe import transcribe, transcribe_file
from reflector.processors.types import AudioChunk, AudioInfo, SpeakerSegment, Topic, TopicText, Word

__all__ = [
    "AudioChunk",
    "AudioError",
    "AudioInfo",
    "ProcessorError",
    "ServiceError",
    "ServiceRejected",
    "ServiceUnavailable",
    "SpeakerSegment",
    "Topic",
    "TopicText",
    "Word",
    "assign_speakers",
    "chunks",
    "detect_topic",
    "detect_topics",
    "diarize",
    "duration_ms",
    "probe",
    "split_words",
    "transcribe",
    "transcribe_file",
    "waveform",
    "write_long_summary",
    "write_mp3",
    "write_short_summary",
    "write_title",
]
