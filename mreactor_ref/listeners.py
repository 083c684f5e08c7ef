"""Listener codes: who reacts, one of K kinds for the whole of a reaction (the paper's v).

A reaction is one person's from its first frame to its last. What tells listeners apart is how they
rest and lean and hold their head, so a code is made from a reaction's mean over time, less what the
speaker and the reaction's own prior explain of it:

    mean      of the 83 channels over the reaction's frames, in deviations of the training data
    residual  the mean less its ridge regression on the mean of the speaker's face and on the
              polarity that the reaction shows
    whitened  the residual in its first principal components, each scaled to deviation one
    code      1 + the nearest of K centroids (k-means); 0 says nothing about the listener

The regression takes out the clip's content: a happy speaker's listeners all smile. So a code that
is drawn for another speaker asks for a kind of person, not for that clip's mood. It takes out the
polarity too, which is the prior's to say: a code that told it would leave the prior nothing to do.

What is left of it, since gloomy people rest and lean in other ways than sunny ones, orders the
codes: from the gloomiest kind of listener to the sunniest. Training shows the model the code of
each target; a run draws one for each reaction, by the shares of the training data, at the place of
its outlook.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.outlook import outlooks
from mreactor_ref.signals import Array

ANYBODY = 0  # the code that says nothing about the listener
COMPONENTS = 5  # of the residual that are told apart; more are noise, and mix kinds of listener
RIDGE = 1.0  # speakers' worth of regularisation
TRIES = 20  # starts of k-means; the tightest is kept


@dataclass(frozen=True)
class Codebook:
    """How a reaction's code is found, and how often each code is there.

    Attributes:
        deviation: (83), of the channels in the training data.
        speaker_mean: (P), of the speakers' summaries: stands for a speaker without a face.
        regression: (P + 2, 83), from a centred summary, the polarity and 1 to the expected mean of
            a reaction.
        projection: (83, C), from a residual to its whitened components.
        centroids: (K', C), of the gloomiest kind first; K' is less than K where there are fewer
            reactions.
        shares: (K), of each code in the training data; sums to 1.
    """

    deviation: Array
    speaker_mean: Array
    regression: Array
    projection: Array
    centroids: Array
    shares: Array

    def codes(self, speakers: Array, polarities: Array, means: Array) -> NDArray[np.int64]:
        """The codes of N reactions, (N,) from 1 to K.

        Args:
            speakers: (N, P) means of the speaker's face; NaN where there is none.
            polarities: (N,) that the reactions show, means over their utterances.
            means: (N, 83) means of the reactions, natural units.
        """
        explained = _design(speakers, self.speaker_mean, polarities) @ self.regression
        points = (means / self.deviation - explained) @ self.projection  # (N, C)
        distance = np.square(points[:, None] - self.centroids).sum(axis=-1)
        return distance.argmin(axis=1) + 1


def fit_codebook(
    speakers: Array, polarities: Array, means: Array, deviation: Array, count: int, seed: int = 0
) -> Codebook:
    """The codebook of a training set, by ridge regression, principal components and k-means.

    Args:
        speakers, polarities, means: of each reaction, as `Codebook.codes` takes them.
        deviation: (83) of the channels.
        count: K, at least 1.
    """
    known = np.where(np.isnan(speakers), np.float32(0), speakers)
    speaker_mean = known.sum(axis=0) / np.maximum(1, (~np.isnan(speakers)).sum(axis=0))
    design, targets = _design(speakers, speaker_mean, polarities), means / deviation
    regression = _ridge(design, targets)
    residual = targets - design @ regression
    _, scales, axes = np.linalg.svd(residual, full_matrices=False)
    scales = scales / np.sqrt(len(residual))
    keep = min(COMPONENTS, int((scales > 1e-6 * max(scales[0], 1e-6)).sum()) or 1)
    projection = (axes[:keep] / np.maximum(scales[:keep], 1e-6)[:, None]).T
    speakers_alone = _design(speakers, speaker_mean)
    outlook = polarities - speakers_alone @ _ridge(speakers_alone, polarities)
    book = Codebook(
        deviation=deviation.astype(np.float32),
        speaker_mean=speaker_mean.astype(np.float32),
        regression=regression.astype(np.float32),
        projection=projection.astype(np.float32),
        centroids=_centroids(residual @ projection, outlook, count, seed).astype(np.float32),
        shares=np.zeros(count, np.float32),
    )
    counts = np.bincount(book.codes(speakers, polarities, means) - 1, minlength=count)
    return replace(book, shares=(counts / counts.sum()).astype(np.float32))


def draw_codes(
    seed: int, clip_id: str, reactions: Iterable[int], shares: Array
) -> NDArray[np.int64]:
    """A code for each reaction of a clip, (S,) from 1 to K, or all ANYBODY where there is none.

    It is the one that a reaction's outlook falls on: the codes, gloomiest first, divide the
    outlooks by their shares. So any number of reactions shows as many kinds of listener as it can,
    each about as often as its share.

    Args: shares: (K), as `Codebook.shares`.
    """
    places = outlooks(seed, clip_id, reactions)
    if not len(shares):
        return np.full(len(places), ANYBODY, np.int64)
    edges = np.cumsum(shares, dtype=np.float64)
    return np.searchsorted(edges / edges[-1], places, side="right").astype(np.int64) + 1


def _centroids(
    points: NDArray[np.float64], outlook: NDArray[np.float64], count: int, seed: int
) -> NDArray[np.float64]:
    """The centres (K', C) of the tightest of several k-means of points (N, C), gloomiest first."""
    from scipy.cluster.vq import kmeans2

    clusters = min(count, len(np.unique(points, axis=0)))
    with warnings.catch_warnings():
        # a start that leaves a cluster empty is a looser fit, and another one is kept
        warnings.filterwarnings("ignore", "One of the clusters is empty", UserWarning)
        fits = [
            kmeans2(points, clusters, iter=50, minit="++", rng=np.random.default_rng((seed, i)))
            for i in range(TRIES)
        ]
    centres, labels = min(fits, key=lambda fit: np.square(points - fit[0][fit[1]]).sum())
    members = np.bincount(labels, minlength=clusters)
    sums = np.bincount(labels, weights=outlook, minlength=clusters)
    return centres[np.argsort(sums / np.maximum(members, 1), kind="stable")]


def _ridge(design: NDArray[np.float64], targets: NDArray[Any]) -> NDArray[Any]:
    """The regression of targets (N,) or (N, C) on a design (N, P) whose last column is constant."""
    penalty = RIDGE * np.eye(design.shape[1])
    penalty[-1, -1] = 0
    return np.linalg.solve(design.T @ design + penalty, design.T @ targets)


def _design(
    speakers: Array, speaker_mean: Array, polarities: Array | None = None
) -> NDArray[np.float64]:
    """Columns: centred summaries, zeros where there is none; polarities if given; one of ones."""
    columns = [np.where(np.isnan(speakers), 0.0, speakers - speaker_mean)]
    if polarities is not None:
        columns.append(polarities[:, None])
    return np.concatenate([*columns, np.ones((len(speakers), 1))], axis=1, dtype=np.float64)
