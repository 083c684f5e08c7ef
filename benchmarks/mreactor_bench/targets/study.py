"""Trains one model for each choice of targets, and scores them on clips that none has seen.

A listener's reaction to this very clip is aligned with it. What a challenge calls appropriate
besides was shown to another recording, on another clock. Training takes the aligned ones alone;
what it would be to take the others is measured here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import overload

import numpy as np
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration, set_seed

from mreactor_ref.config import ModelConfig
from mreactor_ref.data.dyads import Dyad, Dyads, load_dyads, shown_priors
from mreactor_ref.emotion.recovery import ExpressiveRecovery
from mreactor_ref.errors import UsageError
from mreactor_ref.metrics.table import score
from mreactor_ref.signals import REACTION_ATTRIBUTES, Array
from mreactor_ref.train_options import TrainOptions
from mreactor_ref.training_run import TrainingRun
from mreactor_runtime.reactor import Reactor

ONE, ALIGNED, APPROPRIATE = "one", "aligned", "appropriate"
TARGETS = {
    ONE: "the first listener who heard the clip",
    ALIGNED: "all listeners who heard the clip, as mreactor-train",
    APPROPRIATE: "all that count in scoring, cut or held to the clip's length",
}
MEASURES = ("FRCorr", "FRDist", "FRDiv", "FRVar", "FRSyn")
OWN = ("FRCorr", "FRDist")  # of which the value against the aligned reactions alone is told, too

Progress = Callable[[str, int, int], None]


class Retargeted(Dyads):
    """Dyads whose reactions to train on are others, by a name of TARGETS."""

    def __init__(self, dyads: Dyads, targets: str):
        super().__init__(dyads.tree, dyads.entries, dyads.left_out, dyads.notes)
        self.targets = targets

    @overload
    def __getitem__(self, index: int) -> Dyad: ...
    @overload
    def __getitem__(self, index: slice) -> Retargeted: ...
    def __getitem__(self, index: int | slice) -> Dyad | Dyads:
        if isinstance(index, slice):
            return Retargeted(super().__getitem__(index), self.targets)
        dyad = super().__getitem__(index)
        if self.targets == ONE:
            return replace(dyad, reactions=dyad.reactions[:1], shown=dyad.shown[:1])
        if self.targets == ALIGNED:
            return dyad
        frames = dyad.frames
        reactions = tuple(as_long_as(reaction, frames) for reaction in dyad.appropriate)
        attributes = (reaction[:, REACTION_ATTRIBUTES] for reaction in reactions)
        shown = [shown_priors(values, dyad.spoken, dyad.clip.fps) for values in attributes]
        return replace(dyad, reactions=reactions, shown=np.array(shown, np.float32))


def as_long_as(reaction: Array, frames: int) -> Array:
    """A reaction cut to so many frames, or its last frame held until then."""
    return reaction[np.minimum(np.arange(frames), len(reaction) - 1)]


@dataclass(frozen=True)
class Study:
    """What is measured of each choice of targets.

    Attributes:
        config: of the models. options: of their training; data, and the folder of the runs.
        samples: reactions to each clip of the test split.
    """

    config: ModelConfig
    options: TrainOptions
    samples: int = 5

    def run(self, targets: Sequence[str], progress: Progress) -> dict[str, dict[str, float]]:
        """Train and score; targets -> measure -> value.

        Raises:
            UsageError: the tree does not tell which reactions are appropriate, or cannot be used.
        """
        return {name: self._of(name, partial(_named, progress, name)) for name in targets}

    def _of(self, targets: str, progress: Progress) -> dict[str, float]:
        options = replace(self.options, output=self.options.output / targets)
        train, val = (
            Retargeted(self._load(split, progress).explained(ExpressiveRecovery()), targets)
            for split in ("train", "val")
        )
        if targets == APPROPRIATE and not all(len(entry.appropriate) for entry in train.entries):
            raise UsageError("the tree does not tell which reactions are appropriate", options.data)
        options.output.mkdir(parents=True)
        project = ProjectConfiguration(project_dir=str(options.output))
        accelerator = Accelerator(log_with="tensorboard", project_config=project)
        accelerator.init_trackers("logs")
        set_seed(options.seed)
        run = TrainingRun(accelerator, self.config, options, train, val)
        run.train(0, progress)
        accelerator.end_training()
        return self._scores(run.checkpoint, progress)

    def _scores(self, checkpoint: Path, progress: Progress) -> dict[str, float]:
        reactor = Reactor.open(checkpoint, samples=self.samples, seed=self.options.seed)
        dyads = self._load("test", progress)
        predictions: list[Array] = []
        speakers: list[Array] = []
        for number, dyad in enumerate(dyads, start=1):
            if dyad.clip.attributes is None:
                raise UsageError("has no attributes, which FRSyn needs", dyad.clip.id)
            speakers.append(dyad.clip.attributes)
            predictions.append(reactor.generate(dyad.clip).attributes)
            progress("generate", number, len(dyads))
        aligned = [[r[:, REACTION_ATTRIBUTES] for r in dyad.reactions] for dyad in dyads]
        fps = self.config.fps
        means = score(predictions, dyads.appropriate_attributes(), speakers, fps).means()
        own = score(predictions, aligned, speakers, fps).means()
        return {name: means[name] for name in MEASURES} | {
            f"{name}, aligned": own[name] for name in OWN
        }

    def _load(self, split: str, progress: Progress) -> Dyads:
        options = self.options
        return load_dyads(
            *(options.data, split, self.config, partial(progress, f"read {split}")),
            roles=options.roles,
            fps=options.fps,
            features=options.features,
        )


def _named(progress: Progress, name: str, what: str, done: int, of: int) -> None:
    progress(f"{name}: {what}", done, of)
