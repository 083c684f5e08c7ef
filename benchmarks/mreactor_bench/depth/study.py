"""Trains models that differ in nothing but their depth, and scores them on held-out clips."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from mreactor_bench.quality import measure
from mreactor_bench.solvers.rule import MEASURES
from mreactor_bench.variants import (
    TOLD,
    Progress,
    held_out_loss,
    of_variant,
    study_data,
    take_up,
    train_variant,
    training_options,
)
from mreactor_ref.config import ModelConfig
from mreactor_ref.data.trees import TreeOptions
from mreactor_ref.emotion.recovery import ExpressiveRecovery
from mreactor_ref.files import write_whole
from mreactor_ref.train_options import TrainOptions
from mreactor_runtime.reactor import Reactor

LOSS = "loss"  # eq. 5 on held-out windows
MORE_IS_BETTER = {LOSS: False, **MEASURES}
# How far apart depths of 1 to 9 are in the paper, and its best depth by all five (D.2).
PAPER_RANGES = {"FRCorr": 0.44, "FRDist": 15.74, "FRDiv": 0.26, "FRVar": 0.13, "FRSyn": 1.61}
PAPER_BEST = 6
SCORES = "scores.json"  # beside the checkpoint of a run


@dataclass(frozen=True)
class Trained:
    """One training: its depth and seed, and the measures of its model, trivial ones beside."""

    layers: int
    seed: int
    figures: dict[str, float]
    trivial: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Depths:
    """A whole report.

    Attributes:
        about: data, sizes, steps, clips and the like.
        trained: one for each depth and seed.
    """

    about: dict[str, Any]
    command: str
    trained: tuple[Trained, ...]

    def of(self, layers: int, measure: str) -> list[float]:
        """A measure of each training of a depth."""
        return [one.figures[measure] for one in self.trained if one.layers == layers]

    @property
    def depths(self) -> list[int]:
        return sorted({one.layers for one in self.trained})

    def means(self, measure: str) -> dict[int, float]:
        """Depth -> mean over its trainings."""
        return {layers: fmean(self.of(layers, measure)) for layers in self.depths}

    def best(self, measure: str) -> int:
        """The depth with the best mean."""
        means = self.means(measure)
        return (max if MORE_IS_BETTER[measure] else min)(means, key=lambda n: means[n])

    def range(self, measure: str) -> float:
        """The largest mean less the smallest."""
        means = self.means(measure).values()
        return max(means) - min(means)


@dataclass(frozen=True)
class DepthStudy:
    """What is trained and scored.

    Attributes:
        folder: of the study.
        config: the sizes, but for the layers.
        data: a tree; None simulates dyads in the folder.
        training: arguments of `training_options`, the options of reading the tree among them.
        samples: reactions to each clip. limit: the first so many clips of the split `test`.
    """

    folder: Path
    config: ModelConfig
    data: Path | None
    training: Mapping[str, Any]
    samples: int
    limit: int | None

    def run(self, depths: Sequence[int], repeats: int, command: str, progress: Progress) -> Depths:
        """Train and score each depth; what the folder has is taken from there.

        Args:
            repeats: trainings of a depth, with the seeds that follow the first.
            progress: called with (what, done, of).

        Raises:
            UsageError: the folder holds another study, or the data cannot be used.
            TrainingError: a loss is not finite.
        """
        sizes = {name: x for name, x in self.config.to_dict().items() if name != "layers"}
        scored = {"samples": self.samples, "limit": self.limit}
        data = None if self.data is None else self.data.resolve()
        take_up(self.folder, {"data": data, **self.training, **scored, "config": sizes})
        first = self.training["seed"]
        tree = study_data(self.folder, self.data, first, progress)
        options = training_options(self.folder, tree, **self.training)
        source = ExpressiveRecovery()
        trained = [
            self._trained(layers, replace(options, seed=seed), source, command, progress)
            for seed in range(first, first + repeats)
            for layers in depths
        ]
        return Depths(self._about(repeats, tree), command, tuple(trained))

    def _trained(
        self,
        layers: int,
        options: TrainOptions,
        source: ExpressiveRecovery,
        command: str,
        progress: Progress,
    ) -> Trained:
        """One model, trained and scored, or the scores that are kept."""
        run = options.output / f"layers-{layers}-seed-{options.seed}"
        options = replace(options, output=run)
        tell = of_variant(progress, run.name)
        scores = run / SCORES
        if scores.is_file():
            return Trained(**json.loads(scores.read_text(encoding="utf-8")))
        config = replace(self.config, layers=layers)
        checkpoint = train_variant(config, options, command, tell)
        reactor = Reactor.open(
            checkpoint, source=source, samples=self.samples, seed=self.training["seed"]
        )
        quality = measure(
            reactor,
            options.data,
            limit=self.limit,
            tree=TreeOptions(options.roles, options.fps, options.features),
            progress=tell,
        )
        own, *others = quality.rows
        figures = {LOSS: held_out_loss(checkpoint)} | {m: quality.rows[own][m] for m in MEASURES}
        trivial = {name: {m: quality.rows[name][m] for m in MEASURES} for name in others}
        trained = Trained(layers, options.seed, figures, trivial)
        write_whole(scores, json.dumps(asdict(trained), indent=1).encode())
        return trained

    def _about(self, repeats: int, tree: Path) -> dict[str, Any]:
        return {
            "data": "simulated dyads" if self.data is None else tree.name,
            "width": self.config.width,
            **{name: self.training[name] for name in TOLD},
            "repeats": repeats,
            "samples": self.samples,
            "limit": self.limit,
        }
