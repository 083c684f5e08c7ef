"""A stand-in for faster-whisper's model: it says the same words for every sound, and counts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

SAID = ((" Hello", 0.48, 0.9), (" there.", 0.9, 1.3), (" You", 2.0, 2.2), (" too?", 2.2, 2.5))


class WhisperModel:
    """What `transcribe` of the latest one was asked is in `asked`; `fails` is raised by it."""

    asked: list[dict[str, Any]]
    loaded: list[dict[str, Any]]
    said: tuple[tuple[str, float, float], ...]
    fails: Exception | None
    supported_languages = ("en", "de")

    def __init__(self, folder: str, **options: Any):
        self.loaded.append({"folder": folder, **options})

    def transcribe(self, audio: np.ndarray, **options: Any) -> tuple[Any, Any]:
        assert audio.dtype == np.float32
        assert audio.ndim == 1
        self.asked.append(options)
        if self.fails is not None:
            raise self.fails
        words = [
            SimpleNamespace(word=text, start=np.float64(start), end=end, probability=0.9)
            for text, start, end in self.said
        ]
        segment = SimpleNamespace(start=0.0, end=3.0, text="", words=words or None)
        return iter([segment]), SimpleNamespace(language=options["language"] or "de")


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path) -> type[WhisperModel]:
    """Put it in the place of faster-whisper's model; `folder` then looks like its weights."""
    state = {"asked": [], "loaded": [], "said": SAID, "fails": None}
    model = type("WhisperModel", (WhisperModel,), state)
    monkeypatch.setattr("faster_whisper.WhisperModel", model)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.bin").write_bytes(b"weights")
    return model
