"""Measures whether a reaction stays one person's, on simulated dyads, whose styles are known.

A listener is told by the pose at rest: yaw, roll and lean. Each reaction is cut into windows of two
seconds; a window's style is the nearest by its mean pose, in the deviations of the real windows of
one style. A reaction changes its listener when its windows do not all have the same style.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.data.dyads import Dyad, load_dyads
from mreactor_ref.errors import UsageError
from mreactor_ref.signals import (
    ACTION_UNITS,
    ANGLE_SLICE,
    REACTION_COEFFICIENTS,
    TRANSLATION_SLICE,
    Array,
)
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.sampling_options import Sampling

WINDOW_SECONDS = 2.0
# Yaw, roll and lean.
POSE = (ANGLE_SLICE.start + 1, ANGLE_SLICE.start + 2, TRANSLATION_SLICE.start + 2)
SMILE = ACTION_UNITS.index("AU12")
RECORD = "dataset.json"  # of a simulated tree, with the styles of its listeners


@dataclass(frozen=True)
class StylePoses:
    """How the listeners of each style hold their heads.

    Attributes:
        centres: (K, 3), mean pose of each style.
        precision: (3, 3), inverse covariance of windows of one style.
    """

    centres: NDArray[np.float64]
    precision: NDArray[np.float64]

    def nearest(self, windows: Array) -> NDArray[np.int64]:
        """The style of each window, (W,), from mean poses (W, 3)."""
        offsets = windows[:, None] - self.centres
        return np.einsum("wki,ij,wkj->wk", offsets, self.precision, offsets).argmin(axis=1)

    def changes(self, reaction: Array, fps: float) -> bool:
        """Whether the windows of a reaction's coefficients, (T, 58), are of several styles."""
        return len(set(self.nearest(pose_windows(reaction, fps)).tolist())) > 1


@dataclass(frozen=True)
class Identity:
    """How often the listener changes, and who smiles before a word is said.

    Attributes:
        rows: "generated" and "real" -> the share of reactions that change their listener, and the
            mean of AU12 in the first frame.
        clips: how many were scored.
    """

    rows: dict[str, dict[str, float]]
    clips: int


def pose_windows(coefficients: Array, fps: float) -> Array:
    """Mean yaw, roll and lean of each whole window of two seconds: (T, 58) -> (W, 3).

    A reaction shorter than that is one window.
    """
    size = max(1, round(WINDOW_SECONDS * fps))
    poses = coefficients[:, POSE]
    count = max(1, len(poses) // size)
    return np.stack([part.mean(axis=0) for part in np.array_split(poses[: count * size], count)])


def style_poses(windows: Sequence[Array], styles: Sequence[str]) -> StylePoses:
    """The poses of styles from the windows of real reactions, (W, 3) each, and their styles."""
    groups = [
        np.concatenate([w for w, style in zip(windows, styles, strict=True) if style == name])
        for name in sorted(set(styles))
    ]
    covariance = np.mean([np.cov(group.T) for group in groups], axis=0)
    return StylePoses(np.stack([group.mean(axis=0) for group in groups]), np.linalg.inv(covariance))


def measure_identity(
    reactor: Reactor,
    data: Path,
    *,
    split: str = "test",
    limit: int | None = None,
    sampling: Sampling | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Identity:
    """Generate reactions to a split of simulated dyads, and tell whose they are.

    Args:
        limit: the first so many clips only; styles are learned from all.
        sampling: the reactor's own where left out.
        progress: called with (what, done, of).

    Raises:
        UsageError: the split is missing, or the tree does not say its listeners' styles.
        ClipError: a clip does not fit the model, or its reactions are not finite.
    """
    progress = progress or (lambda what, done, of: None)
    known = read_styles(data, split)
    dyads = load_dyads(data, split, reactor.config, partial(progress, f"read {split}"))
    real = [(dyad, r) for dyad in dyads for r in range(len(dyad.reactions))]
    fps = reactor.config.fps
    windows = [pose_windows(_coefficients(dyad, r), fps) for dyad, r in real]
    poses = style_poses(windows, [known[dyad.clip.id][r] for dyad, r in real])
    changes, smiles = [], []
    for i, dyad in enumerate(dyads[:limit]):
        reactions = reactor.generate(dyad.clip, sampling)
        changes += [poses.changes(coefficients, fps) for coefficients in reactions.coefficients]
        smiles.append(reactions.attributes[:, 0, SMILE].mean())
        progress("generate", i + 1, len(dyads[:limit]))
    rows = {
        "generated": _row(changes, smiles),
        "real": _row(
            [poses.changes(_coefficients(dyad, r), fps) for dyad, r in real],
            [float(r[0, SMILE]) for dyad in dyads for r in dyad.reactions],
        ),
    }
    return Identity(rows, len(dyads[:limit]))


def read_styles(data: Path, split: str) -> dict[str, list[str]]:
    """Clip id -> the styles of its listeners, in the order of a dyad's reactions.

    Raises:
        UsageError: the tree is no simulated one, or has no such split.
    """
    path = data / RECORD
    try:
        sessions = json.loads(path.read_text(encoding="utf-8"))["styles"][split]
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"does not say the styles of the listeners of {split}",
            path,
            "use a tree that mreactor-data simulate wrote",
        ) from None
    return {
        f"{split}/{session}/clip-0": [styles[clip] for clip in sorted(styles)]
        for session, styles in sessions.items()
    }


def _coefficients(dyad: Dyad, reaction: int) -> Array:
    return dyad.reactions[reaction][:, REACTION_COEFFICIENTS]


def _row(changes: Sequence[bool], smiles: Sequence[float]) -> dict[str, float]:
    return {
        "change their listener": float(np.mean(changes)),
        "AU12 in the first frame": float(np.mean(smiles)),
    }
