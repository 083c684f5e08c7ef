"""Small trees of the challenges' layouts, of numbers that tell where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mreactor_ref.data.simulated.dataset import write_wav
from mreactor_ref.signals import ATTRIBUTE_NAMES, SAMPLE_RATE


def save(path: Path, *shape: int, value: float = 0.0) -> Path:
    """Save a float32 array of one value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.full(shape, value, np.float32))
    return path


def sound(path: Path, seconds: float) -> Path:
    """Save a quiet tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    write_wav(path, (0.1 * np.sin(800 * times)).astype(np.float32))
    return path


def mars_clip(
    folder: Path, role: str, session: str, clip: str, frames: int, fps: float = 30.0, value=0.0
) -> None:
    """The files of one role of one recording: every attribute is `value`."""
    name = f"{role}/{session}/{clip}"
    save(folder / "facial-attributes" / f"{name}.npy", frames, 25, value=value)
    save(folder / "coefficients" / f"{name}.npy", frames, 1, 58, value=value)
    sound(folder / "audio" / f"{name}.wav", frames / fps)


def mars_tree(
    root: Path,
    sessions: Mapping[str, Sequence[tuple[int, int]]],
    split: str = "train",
    fps: float = 30.0,
) -> Path:
    """A split of MARS: of each session the lengths of speaker and listener of its recordings.

    Recording i of a session is `Camera-i`; a listener's values are i / 10, a speaker's -i / 10.
    """
    for session, recordings in sessions.items():
        for i, (spoken, heard) in enumerate(recordings):
            mars_clip(root / split, "speaker", session, f"Camera-{i}", spoken, fps, -i / 10)
            mars_clip(root / split, "listener", session, f"Camera-{i}", heard, fps, i / 10)
    return root


def react_person(folder: Path, path: str, frames: int, value: float) -> None:
    """The files of one person of one clip, as REACT 2023/2024 has them: csv, npy, wav."""
    emotion = folder / "Emotion" / f"{path}.csv"
    emotion.parent.mkdir(parents=True, exist_ok=True)
    rows = [",".join(ATTRIBUTE_NAMES), *[",".join([f"{value:g}"] * 25)] * frames]
    emotion.write_text("\n".join(rows) + "\n")
    save(folder / "3D_FV_files" / f"{path}.npy", frames, 1, 58, value=value)
    sound(folder / "Audio_files" / f"{path}.wav", frames / 25)


REACT_PAIRS = (
    ("NoXI/010_2016-03-25_Paris/Expert_video/1", "NoXI/010_2016-03-25_Paris/Novice_video/1"),
    ("NoXI/010_2016-03-25_Paris/Expert_video/2", "NoXI/010_2016-03-25_Paris/Novice_video/2"),
    ("RECOLA/group-1/P25/1", "RECOLA/group-1/P26/1"),
)


def react_tree(root: Path, split: str = "val", frames: int = 51) -> Path:
    """A split of REACT 2023/2024 with its list and its matrix of both roles.

    Listener i has the value i / 10, speaker i the value -(i + 1) / 10. Each reaction is appropriate
    to its own item; those of items 0, 1 and 5 also to item 0.
    """
    lines = [",speaker_path,listener_path"]
    for i, (speaker, listener) in enumerate(REACT_PAIRS):
        react_person(root / split, speaker, frames, -(i + 1) / 10)
        react_person(root / split, listener, frames, i / 10)
        lines.append(f"{i},{speaker},{listener}")
    (root / f"{split}.csv").write_text("\n".join(lines) + "\n")
    matrix = np.eye(2 * len(REACT_PAIRS))
    matrix[0, [1, 5]] = 1
    np.save(root / f"neighbour_emotion_{split}.npy", matrix)
    return root
