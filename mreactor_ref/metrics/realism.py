"""FRRea: the Fréchet distance between features of real and of generated video.

The challenge renders reactions with PIRender, writes their frames and runs `pytorch_fid` on the two
folders (README.md of baseline_react2023), which takes the 2,048 pooled features of an Inception
network. Neither the renderer's weights nor the network's come with this package: render with what
you have, take features of the frames with any network, and give both here. Two values compare only
where network and renderer are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.errors import UsageError

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class FeatureStatistics:
    """Mean (D,) and covariance (D, D) of features."""

    mean: Float64
    covariance: Float64


def read_features(path: str | Path) -> FeatureStatistics:
    """Features of frames, npy of (N, D); or npz with `mu` and `sigma`, as `pytorch_fid` saves them.

    Raises:
        UsageError: a file that cannot be read, is of another shape or holds values that are not
            finite, or fewer than two frames.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"cannot be read as npy or npz: {error}", path) from error
    if not isinstance(loaded, np.ndarray):
        with loaded:
            missing = [name for name in ("mu", "sigma") if name not in loaded]
            if missing:
                raise UsageError(f"holds no {' and no '.join(missing)}", path)
            statistics = FeatureStatistics(
                loaded["mu"].astype(float), loaded["sigma"].astype(float)
            )
    else:
        if loaded.ndim != 2 or len(loaded) < 2 or loaded.dtype.kind not in "fiu":
            raise UsageError(f"has shape {loaded.shape}, not (N, D) with two frames or more", path)
        exact = loaded.astype(np.float64)
        statistics = FeatureStatistics(exact.mean(0), np.atleast_2d(np.cov(exact, rowvar=False)))
    width = statistics.mean.shape[0] if statistics.mean.ndim == 1 else -1
    if statistics.covariance.shape != (width, width):
        raise UsageError(
            f"mu is {statistics.mean.shape} and sigma {statistics.covariance.shape}", path
        )
    if not (np.isfinite(statistics.mean).all() and np.isfinite(statistics.covariance).all()):
        raise UsageError("has values that are not finite", path)
    return statistics


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)), 0 or more.

    The trace of the root is that of the symmetric (C^(1/2) C' C^(1/2))^(1/2).

    Raises:
        UsageError: features of different widths.
    """
    if a.mean.shape != b.mean.shape:
        raise UsageError(f"features are {len(a.mean)} and {len(b.mean)} wide, not alike")
    values, vectors = np.linalg.eigh(a.covariance)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    between = np.linalg.eigvalsh(root @ b.covariance @ root)
    overlap = np.sqrt(np.maximum(between, 0)).sum()
    gap = float(np.square(a.mean - b.mean).sum())
    return max(0.0, gap + float(np.trace(a.covariance) + np.trace(b.covariance) - 2 * overlap))
