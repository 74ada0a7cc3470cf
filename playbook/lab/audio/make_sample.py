"""Make the sample recording `two_speakers.wav` with the speech synthesiser eSpeak NG.

Two voices take turns reading `DIALOGUE`. The result is mono, 16 kHz, 16 bit. The same version of eSpeak NG
makes the same file, byte for byte; `PROVENANCE.md` names the version and the checksum.

Run it with:  python -m playbook.lab.audio.make_sample [OUTPUT]      (Debian: apt-get install espeak-ng)
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

RATE = 16_000  # Hz
PAUSE = 0.35  # seconds of silence between two turns
WORDS_PER_MINUTE = "165"
HIGH = "en-us+f3"
LOW = "en-gb+m3"

DIALOGUE = (
    (HIGH, "Good morning. Did the new recorder arrive?"),
    (LOW, "Yes, it came yesterday. The sound of both microphones is clear."),
    (HIGH, "Great. Then let us record the meeting."),
    (LOW, "Agreed. I will ask everybody for their consent."),
)

Samples = NDArray[np.int16]


def speak(voice: str, text: str) -> Samples:
    """The sentence as mono 16 kHz samples. Raises `RuntimeError` if eSpeak NG is missing or fails."""
    program = shutil.which("espeak-ng")
    if program is None:
        raise RuntimeError("espeak-ng is not on the PATH; on Debian: apt-get install espeak-ng")
    command = [program, "--stdout", "-v", voice, "-s", WORDS_PER_MINUTE, text]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0 or not done.stdout:
        raise RuntimeError(
            f"espeak-ng failed for voice {voice}: {done.stderr.decode(errors='replace').strip()}"
        )
    # eSpeak NG streams and so cannot know the length it writes into the header; FFmpeg reads to the end.
    with av.open(io.BytesIO(done.stdout), mode="r") as container:
        resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(np.int16)


def make_sample() -> bytes:
    """The whole recording as a WAV file."""
    pause = np.zeros(round(PAUSE * RATE), dtype=np.int16)
    turns = [part for voice, text in DIALOGUE for part in (pause, speak(voice, text))]
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.concatenate([*turns, pause]).astype("<i2").tobytes())
    return buffer.getvalue()


def main() -> int:
    """Write the recording to the path given, or beside this file."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("two_speakers.wav")
    try:
        target.write_bytes(make_sample())
    except (RuntimeError, OSError) as error:
        print(f"make_sample: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
