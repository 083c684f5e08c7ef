"""Measures whether a reaction follows its prior: that alone is changed, all else stays.

Of each clip the same reaction, from the same noise, is generated again and again: over a range of
polarities at one intensity, and over a range of intensities at the polarity of the words. Its
valence should rise with the first and its motion with the second; how well they do is a rank
correlation (Spearman), within each clip and over all clips together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from mreactor_ref.data.draws import motion_energy
from mreactor_ref.data.dyads import load_dyads
from mreactor_ref.emotion.lexicon import sentiment
from mreactor_ref.emotion.priors import Prior, Priors, nearest_emotion
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.signals import VALENCE, SpeakerClip
from mreactor_runtime.reactor import ClipReactions, Reactor
from mreactor_runtime.sampling_options import Sampling

POLARITIES = tuple(np.linspace(-1, 1, 9).tolist())
INTENSITIES = tuple(np.linspace(0.5, 1, 6).tolist())
MIDDLE = 0.75  # the intensity at which polarity is changed


@dataclass(frozen=True)
class Control:
    """How reactions followed the priors that were changed.

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
    sampling: Sampling | None = None,
    listener: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Control:
    """Change the priors of clips of a split of a MARS tree, and score what follows.

    Args:
        limit: the first so many clips with words only.
        listener: the code of all reactions, 0 to say nothing; drawn for each clip if None.
        sampling: but for `samples`; the reactor's own where left out.
        progress: called with (what, done, of).

    Raises:
        UsageError: the split is missing, no clip of it has words, or no listener has this code.
        ClipError: a clip does not fit the model, or its reactions are not finite.
    """
    progress = progress or (lambda what, done, of: None)
    sampling = replace(sampling or reactor.sampling, samples=1)
    if listener is not None:
        reactor = with_listener(reactor, listener)
    dyads = load_dyads(data, split, reactor.config, partial(progress, f"read {split}"))
    spoken = [dyad for dyad in dyads if dyad.clip.utterances][:limit]
    if not spoken:
        raise UsageError("no clip has words, and so no priors", data)
    deviation = reactor.model.reaction_std.numpy()

    def motion(reactions: ClipReactions) -> float:
        both = [reactions.attributes[0], reactions.coefficients[0]]
        return motion_energy(np.concatenate(both, axis=1), deviation)

    def valence(reactions: ClipReactions) -> float:
        return float(reactions.attributes[0, :, VALENCE].mean())

    valences: list[list[float]] = []
    motions: list[list[float]] = []
    for i, dyad in enumerate(spoken):
        polarities = [imposed_priors(dyad.clip, polarity, MIDDLE) for polarity in POLARITIES]
        intensities = [imposed_priors(dyad.clip, None, intensity) for intensity in INTENSITIES]
        valences.append([valence(_react(reactor, dyad.clip, p, sampling)) for p in polarities])
        motions.append([motion(_react(reactor, dyad.clip, p, sampling)) for p in intensities])
        progress("generate", i + 1, len(spoken))
    rows = {
        "valence with polarity": _correlations(POLARITIES, np.array(valences)),
        "motion with intensity": _correlations(INTENSITIES, np.array(motions)),
    }
    return Control(rows, len(spoken))


def with_listener(reactor: Reactor, code: int) -> Reactor:
    """A reactor whose reactions all have one listener's code; 0 says nothing about the listener.

    Raises:
        UsageError: the model has no such code.
    """
    codes = reactor.config.listeners
    if not 0 <= code <= codes:
        raise UsageError(f"listener {code}: the model has codes 1 to {codes}, and 0 for none")
    shares = np.eye(codes, dtype=np.float32)[code - 1] if code else np.zeros(0, np.float32)
    model = replace(reactor.model, listener_shares=shares)
    return Reactor(model, reactor.engine, reactor.source, reactor.notes, reactor.sampling)


def imposed_priors(clip: SpeakerClip, polarity: float | None, intensity: float) -> Priors:
    """The same prior for each utterance, of one reaction; None is the polarity of its words."""
    polarities = [sentiment(u.text) if polarity is None else polarity for u in clip.utterances]
    row = [Prior("imposed", nearest_emotion(s, intensity), s, intensity) for s in polarities]
    return (tuple(row),)


def _react(
    reactor: Reactor, clip: SpeakerClip, priors: Priors, sampling: Sampling
) -> ClipReactions:
    """The one reaction to a clip. Raises ClipError."""
    [reactions] = reactor.generate_batch([clip], [priors], sampling)
    if isinstance(reactions, ClipError):
        raise reactions
    return reactions


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
