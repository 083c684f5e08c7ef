"""Scores reactions with the challenge's measures, beside its four trivial predictors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mreactor_ref.data.dyads import Dyad, Dyads, load_dyads
from mreactor_ref.data.pairs import read_reaction
from mreactor_ref.data.trees import TreeOptions, read_tree
from mreactor_ref.errors import UsageError
from mreactor_ref.features.face import read_face
from mreactor_ref.metrics.compat import EDITIONS, Edition
from mreactor_ref.metrics.groups import Grouping, read_groupings
from mreactor_ref.metrics.intervals import RESAMPLES, Interval
from mreactor_ref.metrics.lengths import CHALLENGE, LENGTH_RULES
from mreactor_ref.metrics.realism import frechet_distance, read_features
from mreactor_ref.metrics.table import Gap, Scores, group_gaps, score
from mreactor_ref.metrics.trivial import TrainingMeans, training_means, trivial_predictions
from mreactor_ref.signals import Array
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.sampling_options import Sampling

Progress = Callable[[str, int, int], None]
REALISM = "FRRea"


@dataclass(frozen=True)
class Scoring:
    """How reactions are scored.

    Attributes:
        compat: name of a challenge whose code is followed; None for the definitions.
        length_rule: name of the rule for real reactions of other lengths.
        resamples: of the bootstrap intervals.
        groups: csv file that divides the clips; see groups.py.
        features: files of the features of real and of generated video, for FRRea.
    """

    compat: str | None = None
    length_rule: str = CHALLENGE
    resamples: int = RESAMPLES
    groups: Path | None = None
    features: tuple[Path, Path] | None = None

    @property
    def edition(self) -> Edition | None:
        """Of the challenge."""
        return None if self.compat is None else EDITIONS[self.compat]


@dataclass(frozen=True)
class Group:
    """The clips of one group, and the model's measures over them with their intervals."""

    clips: int
    means: dict[str, float]
    intervals: dict[str, Interval | None]


@dataclass(frozen=True)
class Division:
    """The model's measures by the groups of one column, and the gaps between them."""

    column: str
    groups: dict[str, Group]
    gaps: dict[str, Gap]


@dataclass(frozen=True)
class Quality:
    """The measures of a model and of the trivial predictors on one split.

    Attributes:
        rows: predictor -> measure -> value; the model's row comes first.
        clips, samples: how many were scored.
        setting: what fixes the model's row: model, engine, solver, seed, data.
        intervals: predictor -> measure -> bootstrap interval over clips.
        by_clip: clip -> measure -> the model's value; FRDvs is of pairs of clips, and not here.
        divisions: one for each column of the csv file of groups.
    """

    rows: dict[str, dict[str, float]]
    clips: int
    samples: int
    setting: dict[str, Any]
    intervals: dict[str, dict[str, Interval | None]] = field(default_factory=dict)
    by_clip: dict[str, dict[str, float]] = field(default_factory=dict)
    divisions: tuple[Division, ...] = ()


def measure(
    reactor: Reactor,
    data: Path,
    *,
    split: str = "test",
    limit: int | None = None,
    sampling: Sampling | None = None,
    scoring: Scoring | None = None,
    tree: TreeOptions | None = None,
    progress: Progress | None = None,
) -> Quality:
    """Score a model on a split of a tree of pairs; the mean predictors learn from its `train`.

    Args:
        tree: how it is read.
        limit: the first so many clips only.
        sampling: the reactor's own where left out. Its seed is also that of the random predictor
            and of the intervals.
        progress: called with (what, done, of).

    Raises:
        UsageError: a split is missing, a speaker has no face for mime and FRSyn, or a file of
            the scoring is not of its form.
    """
    progress, scoring, tree = progress or _silent, scoring or Scoring(), tree or TreeOptions()
    sampling = sampling or reactor.sampling
    samples, seed = sampling.samples, sampling.seed
    every = load_dyads(
        data, split, reactor.config, partial(progress, f"read {split}"), **vars(tree)
    )
    dyads = every[:limit]
    clips = [dyad.clip.id for dyad in dyads]
    groupings = _groupings(scoring, clips, [dyad.clip.id for dyad in every])
    realism = _realism(scoring)
    predictions: list[Array] = []
    for i, dyad in enumerate(dyads):
        predictions.append(reactor.generate(dyad.clip, sampling).attributes)
        progress("generate", i + 1, len(dyads))
    speakers, edition = [_speaker(dyad) for dyad in dyads], scoring.edition
    predicted = {reactor.model.name: predictions}
    predicted |= trivial_predictions(
        speakers, _means(data, tree.roles, edition), samples, seed, edition
    )
    scores = _scores(predicted, dyads, speakers, reactor.config.fps, scoring, progress)
    own = scores[reactor.model.name]
    rows = {name: of_name.means() for name, of_name in scores.items()}
    rows[reactor.model.name] |= realism
    setting = _model_setting(reactor, sampling) | {
        "split": split,
        "roles": list(tree.roles),
        "compat": scoring.compat,
        "length_rule": scoring.length_rule,
        "resamples": scoring.resamples,
    }
    return Quality(
        *(rows, len(dyads), samples, setting),
        intervals={name: s.intervals(None, scoring.resamples, seed) for name, s in scores.items()},
        by_clip=_by_clip(own, clips),
        divisions=tuple(_division(own, grouping, scoring, seed) for grouping in groupings),
    )


def _model_setting(reactor: Reactor, sampling: Sampling) -> dict[str, Any]:
    """What fixes the reactions to a clip."""
    return {
        "model": reactor.model.name,
        "checkpoint_sha256": reactor.model.sha256,
        "engine": reactor.engine.name,
        "device": reactor.device_name,
        **asdict(sampling.solver),
        "smoothness": sampling.smoothness,
        "seed": sampling.seed,
    }


def _silent(what: str, done: int, of: int) -> None:
    pass


def _groupings(scoring: Scoring, clips: Sequence[str], known: Sequence[str]) -> list[Grouping]:
    return [] if scoring.groups is None else read_groupings(scoring.groups, clips, known)


def _realism(scoring: Scoring) -> dict[str, float]:
    """FRRea, where there are features."""
    if scoring.features is None:
        return {}
    real, generated = (read_features(path) for path in scoring.features)
    return {REALISM: frechet_distance(real, generated)}


def _scores(
    predicted: dict[str, list[Array]],
    dyads: Dyads,
    speakers: Sequence[Array],
    fps: float,
    scoring: Scoring,
    progress: Progress,
) -> dict[str, Scores]:
    """Of each predictor."""
    appropriate = dyads.appropriate_attributes()
    rule, scores = LENGTH_RULES[scoring.length_rule], {}
    for i, (name, values) in enumerate(predicted.items()):
        scores[name] = score(values, appropriate, speakers, fps, scoring.edition, rule)
        progress("score", i + 1, len(predicted))
    return scores


def _by_clip(scores: Scores, clips: Sequence[str]) -> dict[str, dict[str, float]]:
    columns = {name: values for name, values in scores.by_clip.items() if values.ndim == 1}
    return {
        clip: {name: float(values[i]) for name, values in columns.items()}
        for i, clip in enumerate(clips)
    }


def _division(scores: Scores, grouping: Grouping, scoring: Scoring, seed: int) -> Division:
    groups = {
        name: Group(
            len(clips), scores.means(clips), scores.intervals(clips, scoring.resamples, seed)
        )
        for name, clips in grouping.groups.items()
    }
    gaps = group_gaps(scores, grouping, scoring.resamples, seed)
    return Division(grouping.column, groups, gaps)


def _speaker(dyad: Dyad) -> Array:
    if dyad.clip.attributes is None:
        raise UsageError("has no attributes, which mime and FRSyn need", dyad.clip.id)
    return dyad.clip.attributes


def _means(data: Path, roles: Sequence[str], edition: Edition | None) -> TrainingMeans:
    """Of all reactions in `train`, read one at a time; of its speakers, too, for some editions."""
    both = edition is not None and edition.means_of_both
    return training_means(_training_reactions(data, roles, both))


def _training_reactions(data: Path, roles: Sequence[str], speakers: bool) -> Iterator[Array]:
    tree = read_tree(data, "train", roles, matrix=False)
    for files in tree.reactions():
        yield read_reaction(files)[0]
    for pair in tree.pairs if speakers else ():
        for path in pair.speaker.faces:
            attributes = read_face(path).attributes
            if attributes is not None:
                yield attributes


def beats_trivial(quality: Quality, model: str) -> dict[str, bool]:
    """Whether the model is better than every trivial predictor, in FRCorr and in FRDist."""
    scores = quality.rows[model]
    others = [row for name, row in quality.rows.items() if name != model]
    return {
        "FRCorr": all(scores["FRCorr"] > row["FRCorr"] for row in others),
        "FRDist": all(scores["FRDist"] < row["FRDist"] for row in others),
    }
