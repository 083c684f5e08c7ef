"""What the error of an engine does to the challenge's measures, on simulated dyads."""

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
    Error,
    Figure,
    ParityError,
)
from mreactor_export.parity.rig import Rig
from mreactor_export.parity.speakers import clip_speaker
from mreactor_export.parity.trajectories import engine_path, reference_path, table_of
from mreactor_ref.metrics.appropriateness import frcorr, frdist
from mreactor_ref.metrics.diversity import frdiv, frvar
from mreactor_ref.model import to_reaction
from mreactor_ref.signals import REACTION_ATTRIBUTES, Array
from mreactor_runtime.bundle import SolverDefaults
from mreactor_runtime.engines.reference import step_graph

SAMPLES = 2  # reactions of each speaker
DEFAULTS = SolverDefaults()  # of a bundle
FEATURES = "simulated dyads"


def metric_figures(rig: Rig, note: Callable[[str], None]) -> Iterator[Figure]:
    """FRCorr, FRDist, FRDiv and FRVar of an engine's reactions against the reference's own.

    Args:
        note: hears what the simulated speakers lack.
    """
    for count, most in rig.cases.dyads:
        scored, lack = dyads(rig.model.config, count)
        if lack:
            note(lack)
        frames = min(most, *(dyad.clip.frames for dyad in scored))
        sizes = Sizes(count, SAMPLES, frames)
        speaker = clip_speaker(rig.model, [dyad.clip for dyad in scored], sizes)
        table = table_of(rig.model.config.train_steps, DEFAULTS.steps, DEFAULT)
        guidance = DEFAULTS.guidance_scale
        given = speaker, sizes, table, guidance
        expected = measures(natural(rig, reference_path(rig.exact, *given).end), scored)
        for name, engine in rig.engines(frames):
            fault, found = None, dict.fromkeys(expected, 0.0)
            try:
                found = measures(natural(rig, engine_path(rig, name, engine, *given).end), scored)
            except ParityError as error:
                fault = error
            for what, value in expected.items():
                about = replace(rig.about(name, METRIC, what, sizes, guidance), features=FEATURES)
                change = abs(found[what] - value)
                errors = {FLOAT64: Error(change, change / (abs(value) or 1.0))}
                yield Figure(
                    **vars(about),
                    errors={} if fault else errors,
                    bound=rig.bound(METRIC, step_graph(guidance)),
                    fault=fault,
                )


def natural(rig: Rig, clean: Tensor) -> Array:
    """The attributes (B, S, T, 25) of standardised reactions (B, S, T, 83), in their ranges."""
    standard = rig.model.reaction
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
