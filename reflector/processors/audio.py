"""Audio in any container that FFmpeg knows: probe, decode, encode as mp3, draw, cut.

Everything here is synchronous and CPU-bound; asynchronous code calls it through `asyncio.to_thread`.
Durations come from decoded samples, because headers lie (a recording that was cut off has none).
"""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from av.error import FFmpegError
from numpy.typing import NDArray

from reflector.processors.errors import AudioError
from reflector.processors.types import AudioChunk, AudioInfo

RATE = 16_000  # Hz; what speech models expect
MP3_BIT_RATE = 64_000  # bit/s; transparent for speech in mono

Samples = NDArray[np.int16]


def probe(path: Path | str) -> AudioInfo:
    """Decode the file once and tell what it holds; raise `AudioError` if that is no audio."""
    with _open(path) as container:
        stream = container.streams.audio[0]
        info: dict[str, Any] = {
            "container": container.format.name,
            "codec": stream.codec_context.name,
            "sample_rate": stream.codec_context.sample_rate,
            "channels": stream.codec_context.channels,
        }
    return AudioInfo(duration_ms=duration_ms(path), **info)


def duration_ms(path: Path | str) -> int:
    """Length of the decoded audio in milliseconds."""
    return _milliseconds(sum(len(block) for block in _decode(path)))


def write_mp3(src: Path | str, dst: Path | str) -> int:
    """Encode `src` as a mono mp3 at `dst` and return its length in milliseconds.

    `dst` appears complete or not at all: the encoder writes a temporary file beside it, which then takes its
    name. Raises `AudioError` if `src` cannot be decoded.
    """
    dst = Path(dst)
    count = 0
    temporary = dst.with_name(f".{dst.name}.{uuid4().hex}")
    try:
        with av.open(str(temporary), "w", format="mp3") as output:
            stream = output.add_stream("mp3", rate=RATE, layout="mono", bit_rate=MP3_BIT_RATE)
            for block in _decode(src):
                frame = av.AudioFrame.from_ndarray(block[np.newaxis, :], format="s16", layout="mono")
                frame.sample_rate = RATE
                frame.pts = count
                count += len(block)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        temporary.replace(dst)
    finally:
        temporary.unlink(missing_ok=True)
    return _milliseconds(count)


def waveform(path: Path | str, segments: int = 255) -> list[float]:
    """The loudness over time: `segments` values from 0 to 1, the loudest is 1 (all 0 for silence)."""
    return peaks(np.concatenate(list(_decode(path))), segments)


def peaks(samples: Samples, segments: int) -> list[float]:
    """The highest absolute sample of each of `segments` equal stretches, scaled so that the loudest is 1."""
    if segments < 1:
        raise ValueError(f"segments must be at least 1, not {segments}")
    # int32: the absolute value of -32768 does not fit into int16.
    loudness = np.abs(samples.astype(np.int32))
    parts = np.array_split(loudness, segments)
    values = np.array([part.max() if part.size else 0 for part in parts], dtype=np.float64)
    top = values.max()
    return [round(float(value / top), 4) if top else 0.0 for value in values]


def chunks(path: Path | str, seconds: float = 30.0) -> Iterator[AudioChunk]:
    """Cut the recording into pieces of `seconds` (the last may be shorter), in order, without gaps."""
    size = round(seconds * RATE)
    if size < 1:
        raise ValueError(f"seconds must be positive, not {seconds}")
    for index, samples in enumerate(_regroup(_decode(path), size)):
        yield AudioChunk(
            index=index, start=index * size / RATE, duration=len(samples) / RATE, wav=to_wav(samples)
        )


def to_wav(samples: Samples) -> bytes:
    """A complete WAV file of mono 16 kHz samples."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


def _regroup(blocks: Iterator[Samples], size: int) -> Iterator[Samples]:
    """The same samples in blocks of exactly `size`, but for the last."""
    waiting: Samples = np.empty(0, dtype=np.int16)
    for block in blocks:
        waiting = np.concatenate([waiting, block])
        while len(waiting) >= size:
            yield waiting[:size]
            waiting = waiting[size:]
    if len(waiting):
        yield waiting


def _decode(path: Path | str) -> Iterator[Samples]:
    """The first audio stream as mono 16 kHz blocks; `AudioError` if there is not a single sample."""
    found = False
    with _open(path) as container:
        resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
        for frame in container.decode(audio=0):
            for resampled in resampler.resample(frame):
                found = True
                yield resampled.to_ndarray()[0]
        for resampled in resampler.resample(None) if found else []:
            yield resampled.to_ndarray()[0]
    if not found:
        raise AudioError(f"{Path(path).name}: the audio stream is empty")


@contextmanager
def _open(path: Path | str) -> Iterator[InputContainer]:
    """The opened container; every error of FFmpeg inside becomes an `AudioError` that names the file."""
    name = Path(path).name
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise AudioError(f"{name}: holds no audio stream")
            yield container
    except FFmpegError as error:
        raise AudioError(f"{name}: cannot be read as audio ({error.strerror})") from error


def _milliseconds(samples: int) -> int:
    return round(samples * 1000 / RATE)
