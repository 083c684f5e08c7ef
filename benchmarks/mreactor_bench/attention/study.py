"""Takes a model's attention maps, and those of models trained alike with each kind of attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mreactor_bench.attention.maps import AttentionMap, attention_maps, spoken_frames
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
from mreactor_ref.checkpoint import find_checkpoint, load_checkpoint
from mreactor_ref.config import Attention, ModelConfig
from mreactor_ref.data.dyads import load_dyads
from mreactor_ref.emotion.priors import assign
from mreactor_ref.emotion.recovery import ExpressiveRecovery
from mreactor_ref.errors import UsageError
from mreactor_ref.files import sha256_of
from mreactor_ref.model import MReactor
from mreactor_ref.schedule import Solver
from mreactor_ref.signals import SpeakerClip
from mreactor_ref.train_options import TrainOptions

SPLIT = "test"


@dataclass(frozen=True)
class ModelMaps:
    """The maps of one model.

    Attributes:
        name: for people. kind: of its attention.
        loss: eq. 5 on held-out windows, of those that this study trained.
    """

    name: str
    kind: Attention
    loss: float | None
    maps: tuple[AttentionMap, ...]


@dataclass(frozen=True)
class Maps:
    """A whole report.

    Attributes:
        about: model, data, clip, steps and the like.
        spoken: (T,), true where the clip has words. fps: of it.
    """

    about: dict[str, Any]
    command: str
    spoken: NDArray[np.bool_]
    fps: float
    models: tuple[ModelMaps, ...]

    @property
    def frames(self) -> int:
        """T of the clip."""
        return len(self.spoken)

    @property
    def even_entropy(self) -> float:
        """Of a map that looks everywhere alike, nats."""
        return float(np.log(self.frames))

    @property
    def even_distance(self) -> float:
        """Of such a map, frames."""
        return (self.frames**2 - 1) / (3 * self.frames)


@dataclass(frozen=True)
class AttentionStudy:
    """What is trained, and whose maps are taken.

    Attributes:
        folder: of the study.
        model: a shipped name or a checkpoint, whose sizes the trainings have.
        data: a tree; None simulates dyads in the folder. clip: its number in the split `test`.
        training: arguments of `training_options`, the options of reading the tree among them.
        samples: reactions to the clip.
    """

    folder: Path
    model: str
    data: Path | None
    clip: int
    training: Mapping[str, Any]
    samples: int

    def run(self, kinds: Sequence[Attention], command: str, progress: Progress) -> Maps:
        """The maps of the model, and of each kind of attention trained from new weights.

        Raises:
            UsageError: the folder holds another study, there is no such clip, or the data cannot
                be used.
            TrainingError: a loss is not finite.
        """
        path, seed = find_checkpoint(self.model), self.training["seed"]
        given, sha256 = load_checkpoint(path), sha256_of(path)
        data = None if self.data is None else self.data.resolve()
        take_up(self.folder, {"data": data, **self.training, "model": sha256})
        tree = study_data(self.folder, self.data, seed, progress)
        options = training_options(self.folder, tree, **self.training)
        clip = self._clip(given.config, options, progress)
        checkpoints = {
            kind: train_variant(
                replace(given.config, attention=kind),
                replace(options, output=options.output / kind),
                command,
                of_variant(progress, kind),
            )
            for kind in kinds
        }
        priors = assign(clip.utterances, ExpressiveRecovery(), self.samples, seed, clip.id)

        def maps(name: str, model: MReactor, loss: float | None = None) -> ModelMaps:
            taken = attention_maps(model, clip, priors, seed, Solver())
            return ModelMaps(name, model.config.attention, loss, tuple(taken))

        models = [maps(path.stem, given)]
        for kind, checkpoint in checkpoints.items():
            loss = held_out_loss(checkpoint)
            models.append(maps(f"{kind}, trained here", load_checkpoint(checkpoint), loss))
        about = {
            "model": path.stem,
            "checkpoint_sha256": sha256,
            "data": "simulated dyads" if self.data is None else tree.name,
            "clip": clip.id,
            "clip_frames": clip.frames,
            "samples": self.samples,
            **{name: self.training[name] for name in TOLD},
        }
        return Maps(about, command, spoken_frames(clip), clip.fps, tuple(models))

    def _clip(self, config: ModelConfig, options: TrainOptions, progress: Progress) -> SpeakerClip:
        """Raises UsageError: there is no such clip."""
        dyads = load_dyads(
            *(options.data, SPLIT, config, partial(progress, f"read {SPLIT}")),
            roles=options.roles,
            fps=options.fps,
            features=options.features,
        )
        if self.clip >= len(dyads):
            raise UsageError(
                f"has {len(dyads)} clips that can be read, and none of number {self.clip}",
                options.data / SPLIT,
                "give a smaller --clip; the first one is 0",
            )
        return dyads[self.clip].clip
