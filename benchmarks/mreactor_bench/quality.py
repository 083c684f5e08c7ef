"""Scores reactions with the challenge's measures, beside its four trivial predictors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mreactor_ref.data.dyads import Dyad, load_dyads
from mreactor_ref.data.mars import read_mars, read_reaction
from mreactor_ref.errors import UsageError
from mreactor_ref.metrics.table import evaluate
from mreactor_ref.metrics.trivial import TrainingMeans, training_means, trivial_predictions
from mreactor_ref.signals import REACTION_ATTRIBUTES
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.sampling_options import Sampling


@dataclass(frozen=True)
class Quality:
    """The measures of a model and of the trivial predictors on one split.

    Attributes:
        rows: predictor -> measure -> value; the model's row comes first.
        clips, samples: how many were scored.
        setting: what fixes the model's row: model, engine, solver, seed, data.
    """

    rows: dict[str, dict[str, float]]
    clips: int
    samples: int
    setting: dict[str, Any]


def measure(
    reactor: Reactor,
    data: Path,
    *,
    split: str = "test",
    limit: int | None = None,
    sampling: Sampling | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Quality:
    """Score a model on a split of a MARS tree; the mean predictors learn from its `train`.

    Args:
        limit: the first so many clips only.
        sampling: the reactor's own where left out.
        progress: called with (what, done, of).

    Raises:
        UsageError: a split is missing, or a speaker has no face for mime and FRSyn.
    """
    progress = progress or (lambda what, done, of: None)
    sampling = sampling or reactor.sampling
    read = partial(progress, f"read {split}")
    dyads = load_dyads(data, split, reactor.config, read)[:limit]
    predictions = []
    for i, dyad in enumerate(dyads):
        predictions.append(reactor.generate(dyad.clip, sampling).attributes)
        progress("generate", i + 1, len(dyads))
    speakers = [_speaker(dyad) for dyad in dyads]
    appropriate = [list(dyad.reactions[..., REACTION_ATTRIBUTES]) for dyad in dyads]
    predicted = {reactor.model.name: predictions}
    predicted |= trivial_predictions(speakers, _means(data), sampling.samples, sampling.seed)
    rows = {}
    for i, (name, values) in enumerate(predicted.items()):
        rows[name] = evaluate(values, appropriate, speakers, reactor.config.fps)
        progress("score", i + 1, len(predicted))
    setting = {
        "model": reactor.model.name,
        "checkpoint_sha256": reactor.model.sha256,
        "engine": reactor.engine.name,
        "device": reactor.device_name,
        **asdict(sampling.solver),
        "smoothness": sampling.smoothness,
        "seed": sampling.seed,
        "split": split,
    }
    return Quality(rows, len(dyads), sampling.samples, setting)


def _speaker(dyad: Dyad) -> Any:
    if dyad.clip.attributes is None:
        raise UsageError("has no attributes, which mime and FRSyn need", dyad.clip.id)
    return dyad.clip.attributes


def _means(data: Path) -> TrainingMeans:
    """Of all reactions in `train`, read one at a time."""
    return training_means(
        read_reaction(files)[0]
        for session in read_mars(data, "train")
        for files in session.reactions
    )


def beats_trivial(quality: Quality, model: str) -> dict[str, bool]:
    """Whether the model is better than every trivial predictor, in FRCorr and in FRDist."""
    scores = quality.rows[model]
    others = [row for name, row in quality.rows.items() if name != model]
    return {
        "FRCorr": all(scores["FRCorr"] > row["FRCorr"] for row in others),
        "FRDist": all(scores["FRDist"] < row["FRDist"] for row in others),
    }
