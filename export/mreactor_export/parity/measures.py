"""Figures of the challenge's measures: an engine's against the reference's, on simulated dyads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from mreactor_export.parity.cases import DEFAULT, Sizes
from mreactor_export.parity.clips import Scored, dyads
from mreactor_export.parity.figures import (
    FLOAT64,
    METRIC,
    Deviation,
    Figure,
    ParityError,
)
from mreactor_export.parity.setup import Setup
from mreactor_export.parity.speakers import clip_speaker
from mreactor_export.parity.trajectories import sample_engine, sample_reference, table_of
from mreactor_ref.metrics.appropriateness import frcorr, frdist
from mreactor_ref.metrics.diversity import frdiv, frvar
from mreactor_ref.model import to_reaction
from mreactor_ref.schedule import Solver
from mreactor_ref.signals import REACTION_ATTRIBUTES, Array
from mreactor_runtime.engines.reference import step_graph

SAMPLES = 2  # reactions of each speaker
DEFAULTS = Solver()  # of a bundle
FEATURES = "simulated dyads"


def metric_figures(setup: Setup, note: Callable[[str], None]) -> Iterator[Figure]:
    """FRCorr, FRDist, FRDiv and FRVar of an engine's reactions against the reference's own.

    Args:
        note: hears what the simulated speakers lack.
    """
    for count, most in setup.cases.dyads:
        scored, lack = dyads(setup.model.config, count)
        if lack:
            note(lack)
        frames = min(most, *(dyad.clip.frames for dyad in scored))
        sizes = Sizes(count, SAMPLES, frames)
        speaker = clip_speaker(setup.model, [dyad.clip for dyad in scored], sizes)
        table = table_of(setup.model.config.train_steps, DEFAULTS.steps, DEFAULT)
        guidance = DEFAULTS.guidance_scale
        inputs = speaker, sizes, table, guidance
        expected = measures(natural(setup, sample_reference(setup.exact, *inputs).end), scored)
        for name, engine in setup.engines(frames):
            fault, scores = None, dict.fromkeys(expected, 0.0)
            try:
                end = sample_engine(setup, name, engine, *inputs).end
                scores = measures(natural(setup, end), scored)
            except ParityError as error:
                fault = error
            for what, value in expected.items():
                label = replace(setup.label(name, METRIC, what, sizes, guidance), features=FEATURES)
                change = abs(scores[what] - value)
                errors = {FLOAT64: Deviation(change, change / (abs(value) or 1.0))}
                yield Figure(
                    **vars(label),
                    errors={} if fault else errors,
                    bound=setup.bound(METRIC, step_graph(guidance)),
                    fault=fault,
                )


def natural(setup: Setup, clean: Tensor) -> Array:
    """The attributes (B, S, T, 25) of standardised reactions (B, S, T, 83), in their ranges."""
    standard = setup.model.reaction
    reaction = to_reaction(clean.double(), standard.mean.double(), standard.std.double())
    return reaction[..., REACTION_ATTRIBUTES].numpy()


def measures(reactions: Array, scored: Sequence[Scored]) -> dict[str, float]:
    """The measures that the parity of a precision is held to. A number that is none scores NaN."""
    if not np.isfinite(reactions).all():
        return dict.fromkeys(("FRCorr", "FRDist", "FRDiv", "FRVar"), float("nan"))
    frames, predictions = reactions.shape[2], list(reactions)
    appropriate = [[real[:frames] for real in dyad.appropriate] for dyad in scored]
    return {
        "FRCorr": frcorr(predictions, appropriate),
        "FRDist": frdist(predictions, appropriate),
        "FRDiv": frdiv(predictions),
        "FRVar": frvar(predictions),
    }
