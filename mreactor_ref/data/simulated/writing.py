"""The files of simulated people: sound, words with times, faces."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np

from mreactor_ref.data.simulated.speech import Spoken
from mreactor_ref.signals import SAMPLE_RATE, Array


def write_wav(path: Path, sound: Array) -> None:
    """Write sound, (samples,) at 16 kHz in -1 to 1, as 16-bit PCM."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.round(sound * 32767).astype("<i2").tobytes())


def write_words(path: Path, script: tuple[Spoken, ...]) -> None:
    """Write a script as JSON of segments with word times."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(segments(script), indent=1) + "\n", encoding="utf-8")


def write_array(path: Path, values: Array) -> None:
    """Write an npy file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)


def segments(script: tuple[Spoken, ...]) -> dict[str, list[dict[str, object]]]:
    """A script as speech recognisers write it: segments with words, times in seconds."""
    return {
        "segments": [
            {
                "start": spoken.utterance.start,
                "end": spoken.utterance.end,
                "text": spoken.utterance.text,
                "words": [
                    {"word": word.text, "start": word.start, "end": word.end}
                    for word in spoken.words
                ],
            }
            for spoken in script
        ]
    }
