"""Audio processing on recordings that PyAV has just made."""

import io
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from reflector.processors import AudioError, chunks, duration_ms, probe, waveform, write_mp3
from reflector.processors.audio import RATE, Samples, peaks, to_wav

samples = st_numpy.arrays(np.int16, st.integers(1, 2000))


def tone(seconds: float, rate: int = RATE, channels: int = 1, loudness: float = 0.5) -> Samples:
    """A 440 Hz tone, shape (channels, samples)."""
    time = np.arange(round(seconds * rate)) / rate
    signal = np.sin(2 * np.pi * 440 * time) * loudness * 32767
    return np.tile(signal.astype(np.int16), (channels, 1))


def encode(path: Path, data: Samples, codec: str, rate: int) -> Path:
    """Write samples with an encoder of FFmpeg; the container follows from the file's name."""
    layout = "mono" if len(data) == 1 else "stereo"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(data.T.reshape(1, -1).copy(), format="s16", layout=layout)
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read_wav(content: bytes) -> Samples:
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "recording.wav"
    path.write_bytes(to_wav(tone(2.5)[0]))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "rate", "channels"),
    [
        ("a.wav", "pcm_s16le", 44_100, 2),
        ("a.flac", "flac", 48_000, 1),
        ("a.mp3", "mp3", 44_100, 2),
        ("a.m4a", "aac", 44_100, 1),
        ("a.webm", "libopus", 48_000, 2),
        ("a.ogg", "libopus", 48_000, 1),
    ],
)
def test_probe_reads_what_was_written(
    tmp_path: Path, name: str, codec: str, rate: int, channels: int
) -> None:
    info = probe(encode(tmp_path / name, tone(1.5, rate, channels), codec, rate))
    assert (info.sample_rate, info.channels) == (rate, channels)
    # Lossy codecs pad to whole frames.
    assert info.duration_ms == pytest.approx(1500, abs=60)


def test_the_name_does_not_matter(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.webm", tone(1, 48_000), "libopus", 48_000)
    assert probe(path.rename(tmp_path / "upload.audio")).codec in ("opus", "libopus")


def test_duration_of_a_recording_that_was_cut_off(tmp_path: Path, recording: Path) -> None:
    cut = tmp_path / "cut.wav"
    cut.write_bytes(recording.read_bytes()[: 44 + RATE * 2])
    assert duration_ms(cut) == 1000


@pytest.mark.parametrize("content", [b"", b"no audio at all", b"RIFF\x24\x00\x00\x00WAVE"])
def test_what_is_no_audio_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "letter.txt"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"letter\.txt"):
        probe(path)


def test_a_wav_without_samples_is_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    path.write_bytes(to_wav(np.empty(0, dtype=np.int16)))
    with pytest.raises(AudioError, match=r"empty\.wav: the audio stream is empty"):
        waveform(path)


def test_a_video_without_sound_is_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "silent.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), dtype=np.uint8))
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(AudioError, match=r"silent\.mkv: holds no audio stream"):
        probe(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"nowhere\.wav"):
        duration_ms(tmp_path / "nowhere.wav")


def test_mp3_lasts_as_long_as_its_source(tmp_path: Path, recording: Path) -> None:
    target = tmp_path / "audio.mp3"
    assert write_mp3(recording, target) == 2500
    info = probe(target)
    assert (info.container, info.channels, info.sample_rate) == ("mp3", 1, RATE)
    assert info.duration_ms == pytest.approx(2500, abs=60)
    assert set(tmp_path.iterdir()) == {recording, target}


def test_mp3_sounds_like_its_source(tmp_path: Path, recording: Path) -> None:
    write_mp3(recording, tmp_path / "audio.mp3")
    (heard,) = chunks(tmp_path / "audio.mp3", 60)
    spectrum = np.abs(np.fft.rfft(read_wav(heard.wav)))
    loudest = np.argmax(spectrum) / len(spectrum) * RATE / 2
    assert loudest == pytest.approx(440, abs=2)


def test_a_failed_mp3_leaves_nothing_behind(tmp_path: Path) -> None:
    source = tmp_path / "bad.wav"
    source.write_bytes(b"bad")
    with pytest.raises(AudioError):
        write_mp3(source, tmp_path / "audio.mp3")
    assert list(tmp_path.iterdir()) == [source]


def test_waveform_follows_the_loudness(tmp_path: Path) -> None:
    path = tmp_path / "steps.wav"
    steps = [tone(1, loudness=loudness)[0] for loudness in (0.0, 0.25, 0.5, 1.0)]
    path.write_bytes(to_wav(np.concatenate(steps)))
    assert waveform(path, 4) == pytest.approx([0, 0.25, 0.5, 1], abs=0.01)
    assert len(waveform(path)) == 255


def test_waveform_of_silence_is_flat() -> None:
    assert peaks(np.zeros(100, dtype=np.int16), 3) == [0.0, 0.0, 0.0]


@given(data=samples, segments=st.integers(1, 300))
def test_waveform_values_are_between_0_and_1(data: Samples, segments: int) -> None:
    values = peaks(data, segments)
    assert len(values) == segments
    assert all(0 <= value <= 1 for value in values)
    assert max(values) == (1 if data.any() else 0)


def test_waveform_needs_a_segment() -> None:
    with pytest.raises(ValueError, match="segments must be at least 1, not 0"):
        peaks(np.ones(1, dtype=np.int16), 0)


def test_chunks_are_the_recording_in_pieces(recording: Path) -> None:
    pieces = list(chunks(recording, 1))
    assert [(piece.index, piece.start, piece.duration) for piece in pieces] == [
        (0, 0.0, 1.0),
        (1, 1.0, 1.0),
        (2, 2.0, 0.5),
    ]
    joined = np.concatenate([read_wav(piece.wav) for piece in pieces])
    assert np.array_equal(joined, tone(2.5)[0])


@given(data=samples, size=st.integers(1, 700))
def test_chunks_lose_nothing(tmp_path_factory: pytest.TempPathFactory, data: Samples, size: int) -> None:
    path = tmp_path_factory.mktemp("chunks") / "a.wav"
    path.write_bytes(to_wav(data))
    pieces = [read_wav(piece.wav) for piece in chunks(path, size / RATE)]
    assert [len(piece) for piece in pieces[:-1]] == [size] * (len(pieces) - 1)
    assert 1 <= len(pieces[-1]) <= size
    assert np.array_equal(np.concatenate(pieces), data)


def test_chunks_need_a_length(recording: Path) -> None:
    with pytest.raises(ValueError, match="seconds must be positive, not 0"):
        next(chunks(recording, 0))
