"""How good the reactions are: the challenge's measures, beside its four trivial predictors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mreactor_ref.data.dyads import Dyad, load_dyads
from mreactor_ref.data.pairs import read_reaction
from mreactor_ref.data.trees import read_tree
from mreactor_ref.errors import UsageError
from mreactor_ref.metrics.table import evaluate
from mreactor_ref.metrics.trivial import TrainingMeans, training_means, trivial_predictions
from mreactor_runtime.bundle import SolverDefaults
from mreactor_runtime.reactor import Reactor


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
    samples: int = 10,
    seed: int = 0,
    limit: int | None = None,
    solver: SolverDefaults | None = None,
    smoothness: float = 0.0,
    report: Callable[[str, int, int], None] | None = None,
) -> Quality:
    """Score a model on a split of a MARS tree; the mean predictors learn from its `train`.

    Args:
        limit: the first so many clips only. report: called with (what, done, of).
    Raises: UsageError where a split is missing, or a speaker has no face for mime and FRSyn.
    """
    tell = report or (lambda what, done, of: None)
    dyads = load_dyads(data, split, reactor.config, lambda i, n: tell(f"read {split}", i, n))[
        :limit
    ]
    solver = solver or reactor.model.defaults
    predictions = []
    for i, dyad in enumerate(dyads):
        reactions = reactor.generate(
            dyad.clip, samples, seed, **asdict(solver), smoothness=smoothness
        )
        predictions.append(reactions.attributes)
        tell("generate", i + 1, len(dyads))
    speakers = [_speaker(dyad) for dyad in dyads]
    appropriate = dyads.appropriate_attributes()
    predicted = {reactor.model.name: predictions}
    predicted |= trivial_predictions(speakers, _means(data), samples, seed)
    rows = {}
    for i, (name, values) in enumerate(predicted.items()):
        rows[name] = evaluate(values, appropriate, speakers, reactor.config.fps)
        tell("score", i + 1, len(predicted))
    setting = {
        "model": reactor.model.name,
        "checkpoint_sha256": reactor.model.sha256,
        "engine": reactor.engine.name,
        "device": reactor.device_name,
        **asdict(solver),
        "smoothness": smoothness,
        "seed": seed,
        "split": split,
    }
    return Quality(rows, len(dyads), samples, setting)


def _speaker(dyad: Dyad) -> Any:
    if dyad.clip.attributes is None:
        raise UsageError("has no attributes, which mime and FRSyn need", dyad.clip.id)
    return dyad.clip.attributes


def _means(data: Path) -> TrainingMeans:
    """Of all reactions in `train`, read one at a time."""
    reactions = read_tree(data, "train").reactions()
    return training_means(read_reaction(files)[0] for files in reactions)


def beats_trivial(quality: Quality, model: str) -> dict[str, bool]:
    """Whether the model is better than every trivial predictor, in FRCorr and in FRDist."""
    own = quality.rows[model]
    others = [row for name, row in quality.rows.items() if name != model]
    return {
        "FRCorr": all(own["FRCorr"] > row["FRCorr"] for row in others),
        "FRDist": all(own["FRDist"] < row["FRDist"] for row in others),
    }
