"""Whether a reaction follows its prior: the prior alone is changed, all else stays.

Of each clip the same reaction, from the same noise, is generated again and again: over a range of
polarities at one intensity, and over a range of intensities at the polarity of the words. Its
valence should rise with the first and its motion with the second; how well they do is a rank
correlation (Spearman), within each clip and over all clips together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from mreactor_ref.data.draws import motion_energy
from mreactor_ref.data.dyads import Dyad, load_dyads
from mreactor_ref.emotion.lexicon import sentiment
from mreactor_ref.emotion.priors import Prior, nearest_emotion
from mreactor_ref.errors import UsageError
from mreactor_ref.signals import VALENCE
from mreactor_runtime.bundle import SolverDefaults
from mreactor_runtime.reactor import ClipReactions, Reactor

POLARITIES = tuple(np.linspace(-1, 1, 9).tolist())
INTENSITIES = tuple(np.linspace(0.5, 1, 6).tolist())
MIDDLE = 0.75  # the intensity at which polarity is changed


@dataclass(frozen=True)
class Imposed:
    """A `PriorSource` of one prior: its polarity, or that of the words where it is None."""

    polarity: float | None
    intensity: float
    notes: Sequence[str] = ()

    def priors(self, utterances: Sequence[str]) -> list[tuple[Prior, ...]]:
        """See `PriorSource`."""
        found = [sentiment(u) if self.polarity is None else self.polarity for u in utterances]
        return [
            (Prior("imposed", nearest_emotion(s, self.intensity), s, self.intensity),)
            for s in found
        ]


@dataclass(frozen=True)
class Control:
    """What the changed priors came to.

    Attributes:
        rows: what was changed -> "within a clip" and "over all clips", rank correlations; and the
            mean of what was measured at the least and at the most of what was changed.
        clips: how many were scored.
    """

    rows: dict[str, dict[str, float]]
    clips: int


def measure_control(
    reactor: Reactor,
    data: Path,
    *,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    solver: SolverDefaults | None = None,
    report: Callable[[str, int, int], None] | None = None,
) -> Control:
    """Change the priors of clips of a split of a MARS tree, and score what follows.

    Raises: UsageError where the split is missing or no clip of it has words.
    """
    tell = report or (lambda what, done, of: None)
    dyads = load_dyads(data, split, reactor.config, lambda i, n: tell(f"read {split}", i, n))
    spoken = [dyad for dyad in dyads if dyad.clip.utterances][:limit]
    if not spoken:
        raise UsageError("no clip has words, and so no priors", data)
    deviation = reactor.model.reaction_std.numpy()

    def motion(reactions: ClipReactions) -> float:
        both = [reactions.attributes[0], reactions.coefficients[0]]
        return motion_energy(np.concatenate(both, axis=1), deviation)

    def valence(reactions: ClipReactions) -> float:
        return float(reactions.attributes[0, :, VALENCE].mean())

    source, follows = reactor.source, ([], [])
    options = asdict(solver or reactor.model.defaults)
    try:
        for i, dyad in enumerate(spoken):
            polarities = [Imposed(polarity, MIDDLE) for polarity in POLARITIES]
            intensities = [Imposed(None, intensity) for intensity in INTENSITIES]
            for imposed, measured, values in zip(
                (polarities, intensities), (valence, motion), follows, strict=True
            ):
                values.append([measured(_react(reactor, dyad, p, seed, options)) for p in imposed])
            tell("generate", i + 1, len(spoken))
    finally:
        reactor.source = source
    rows = {
        "valence with polarity": _correlations(POLARITIES, np.array(follows[0])),
        "motion with intensity": _correlations(INTENSITIES, np.array(follows[1])),
    }
    return Control(rows, len(spoken))


def _react(
    reactor: Reactor, dyad: Dyad, imposed: Imposed, seed: int, options: dict[str, object]
) -> ClipReactions:
    reactor.source = imposed
    return reactor.generate(dyad.clip, 1, seed, **options)  # pyright: ignore[reportArgumentType]


def _correlations(asked: Sequence[float], values: NDArray[np.float64]) -> dict[str, float]:
    """values: (clips, as many as were asked)."""
    within = [_rank_correlation(asked, row) for row in values]
    everywhere = np.broadcast_to(np.array(asked), values.shape)
    return {
        "within a clip": float(np.mean(within)),
        "least within a clip": float(np.min(within)),
        "over all clips": _rank_correlation(everywhere.ravel(), values.ravel()),
        "mean at the least": float(values[:, 0].mean()),
        "mean at the most": float(values[:, -1].mean()),
    }


def _rank_correlation(asked: Sequence[float] | NDArray[np.float64], values: NDArray[Any]) -> float:
    """Spearman's; 0 for values that stay the same whatever is asked."""
    if np.ptp(values) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(asked), rankdata(values))[0, 1])
