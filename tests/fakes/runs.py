"""Folders as `mreactor-infer` leaves them, with reactions of known values, without a run."""

from __future__ import annotations

import hashlib
import json
import wave
from pathlib import Path
from typing import Any

import numpy as np

from mreactor_ref.signals import ATTRIBUTES, COEFFICIENTS

FPS = 25.0
SAID = ("What a day", "I missed the train", "but look at the sea")


def write_run(
    folder: Path,
    clips: dict[str, np.ndarray],
    failed: dict[str, str] | None = None,
    finished: bool = True,
    source: Path | None = None,
    subject: str = "Sea",
) -> None:
    """A run whose clips have these attributes (S, T, 25); `source` holds the clips' own files."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = [
        {"id": clip, "status": "failed", "error": error} for clip, error in (failed or {}).items()
    ]
    for clip, attributes in clips.items():
        path = folder / f"{clip}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        coefficients = np.zeros((*attributes.shape[:2], COEFFICIENTS), np.float32)
        coefficients[..., 53] = np.linspace(0, 0.5, attributes.shape[1])  # yaw
        np.savez(path, attributes=attributes, coefficients=coefficients)
        prior = {"subject": subject, "emotion": "joy", "polarity": 0.5, "intensity": 0.6}
        reaction = {"subjects": [subject] * len(SAID), "priors": [prior] * len(SAID)}
        lines.append(
            {
                "id": clip,
                "status": "done",
                "fps": FPS,
                "frames": attributes.shape[1],
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "warnings": [],
                "reactions": [reaction] * len(attributes),
                "error": None,
            }
        )
    text = "".join(json.dumps(line) + "\n" for line in sorted(lines, key=lambda line: line["id"]))
    (folder / "manifest.jsonl").write_text(text, encoding="utf-8")
    record = {"ai_generated": True, "engine": "torch", "model": {"name": "mini"}}
    record |= {"finished": finished, "arguments": {"input": str(source or folder / "nowhere")}}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")


def waving(samples: int = 10, frames: int = 100) -> np.ndarray:
    """(S, T, 25) of which each unit and reaction goes its own way, slowly."""
    s, t, c = np.ogrid[:samples, :frames, :ATTRIBUTES]
    return (0.5 + 0.5 * np.sin(0.05 * t + 0.7 * s + 1.3 * c)).astype(np.float32)


def write_clip(folder: Path, clip: str, seconds: float) -> None:
    """The speaker's sound, a tone, and words."""
    path = folder / f"{clip}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = 8000 * np.sin(np.arange(int(16000 * seconds)) * 2 * np.pi * 220 / 16000)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(tone.astype("<i2").tobytes())
    cues = [
        f"{i + 1}\n00:00:{i:02d},100 --> 00:00:{i:02d},900\n{text}\n\n"
        for i, text in enumerate(SAID)
    ]
    path.with_suffix(".srt").write_text("".join(cues), encoding="utf-8")
