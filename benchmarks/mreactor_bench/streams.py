"""Measures what each stream of the speaker does to a reaction: it is taken away, or comes late.

The same reactions, from the same noise, priors and listeners, are generated with one stream removed
or shifted by two seconds, once with all the others there and once alone. How far they move is given
as a share of how far other noise moves them, so that 0 is a stream nobody listens to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from mreactor_ref.data.dyads import load_dyads
from mreactor_ref.emotion.priors import Priors, assign
from mreactor_ref.errors import ClipError
from mreactor_ref.signals import STREAMS, Array, SpeakerClip
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.sampling_options import Sampling

SHIFT_SECONDS = 2.0
LEAST = 1e-9  # of a distance that others are divided by


@dataclass(frozen=True)
class Streams:
    """How far reactions move, as a share of how far another seed moves them.

    Attributes:
        rows: stream -> "removed", "shifted" with all others there; "shifted alone" without them.
        clips: how many were scored.
    """

    rows: dict[str, dict[str, float]]
    clips: int


def measure_streams(
    reactor: Reactor,
    data: Path,
    *,
    split: str = "test",
    limit: int | None = None,
    sampling: Sampling | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Streams:
    """Remove and shift each stream of clips of a split of a MARS tree.

    Args:
        limit: the first so many clips only.
        sampling: the reactor's own where left out.
        progress: called with (what, done, of).

    Raises:
        UsageError: the split is missing.
        ClipError: a clip does not fit the model, or its reactions are not finite.
    """
    progress = progress or (lambda what, done, of: None)
    sampling = sampling or reactor.sampling
    dyads = load_dyads(data, split, reactor.config, partial(progress, f"read {split}"))[:limit]
    shares: dict[str, list[dict[str, float]]] = {name: [] for name in STREAMS}
    for i, dyad in enumerate(dyads):
        for name, row in _shares(reactor, dyad.clip, sampling).items():
            shares[name].append(row)
        progress("generate", i + 1, len(dyads))
    return Streams({name: _means(rows) for name, rows in shares.items() if rows}, len(dyads))


def without(clip: SpeakerClip, names: Sequence[str]) -> SpeakerClip:
    """The clip with some of its streams removed."""
    return replace(clip, **dict.fromkeys(names))


def shifted(clip: SpeakerClip, name: str) -> SpeakerClip:
    """The clip with a stream two seconds late; what falls off its end comes first."""
    frames = round(SHIFT_SECONDS * clip.fps)
    return replace(clip, **{name: np.roll(getattr(clip, name), frames, axis=0)})


def _shares(reactor: Reactor, clip: SpeakerClip, sampling: Sampling) -> dict[str, dict[str, float]]:
    """Stream -> figures, of the streams that a clip has."""
    priors = assign(clip.utterances, reactor.source, sampling.samples, sampling.seed, clip.id)
    present = [name for name in STREAMS if getattr(clip, name) is not None]

    def react(speaker: SpeakerClip, seed: int = sampling.seed) -> Array:
        return _attributes(reactor, speaker, priors, replace(sampling, seed=seed))

    base = react(clip)
    unit = max(LEAST, _distance(base, react(clip, sampling.seed + 1)))
    figures = {}
    for name in present:
        alone = without(clip, [other for other in present if other != name])
        figures[name] = {
            "removed": _distance(base, react(without(clip, [name]))) / unit,
            "shifted": _distance(base, react(shifted(clip, name))) / unit,
            "shifted alone": _distance(react(alone), react(shifted(alone, name))) / unit,
        }
    return figures


def _attributes(reactor: Reactor, clip: SpeakerClip, priors: Priors, sampling: Sampling) -> Array:
    """(S, T, 25). Raises ClipError."""
    [reactions] = reactor.generate_batch([clip], [priors], sampling)
    if isinstance(reactions, ClipError):
        raise reactions
    return reactions.attributes


def _distance(a: Array, b: Array) -> float:
    return float(np.abs(a - b).mean())


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
