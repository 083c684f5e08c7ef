"""A tree as large as is asked for: every clip of its own name, all on the same few files.

Its clips come with features of their sound, so that no encoder runs. What is prepared from it is
written in full, a file for each clip, as it is of real data.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.config import CONFIGS, ModelConfig
from mreactor_ref.signals import ATTRIBUTES, COEFFICIENTS

SPLIT = "train"
SESSION_CLIPS = 75  # about as many as in a session of MARS
ENCODER = "that-came-with-the-sound"  # never loaded


@dataclass(frozen=True)
class TreeSize:
    """How large a tree is.

    Attributes:
        clips: speakers with a listener each. frames: of a clip.
        width: of the features of the sound.
    """

    clips: int
    frames: int
    width: int

    def config(self) -> ModelConfig:
        """A model that takes such features: `base` but for their width."""
        sizes = CONFIGS["base"].to_dict()
        return ModelConfig.from_dict(sizes | {"sound": self.width, "sound_encoder": ENCODER})


def write_long_tree(root: Path, size: TreeSize, seed: int = 0) -> None:
    """Write a split of MARS, whose files are links to one set of arrays."""
    rng = np.random.default_rng(seed)
    originals = root / "originals"
    originals.mkdir(parents=True)
    arrays: dict[str, NDArray[np.float32]] = {
        "facial-attributes": rng.random((size.frames, ATTRIBUTES), np.float32),
        "coefficients": rng.standard_normal((size.frames, 1, COEFFICIENTS), np.float32),
        "audio-features": rng.standard_normal((size.frames, size.width), np.float32),
    }
    for kind, values in arrays.items():
        np.save(originals / f"{kind}.npy", values)
        for role in ("speaker", "listener"):
            if role == "listener" and kind == "audio-features":
                continue
            for clip in range(size.clips):
                session = f"session{clip // SESSION_CLIPS}"
                folder = root / SPLIT / kind / role / session
                folder.mkdir(parents=True, exist_ok=True)
                os.link(originals / f"{kind}.npy", folder / f"Camera-{clip}.npy")
