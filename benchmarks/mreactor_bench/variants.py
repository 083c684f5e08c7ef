"""Trains variants of a model for a study, each in a folder of its own, so that it can go on.

A study's folder holds what it was asked for, the dyads if they were simulated, and a folder for
each training. The same command again takes up what is there; another one is refused.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mreactor_ref.checkpoint import read_metadata
from mreactor_ref.config import ModelConfig
from mreactor_ref.data.simulated.dataset import write_dataset
from mreactor_ref.errors import UsageError
from mreactor_ref.files import write_whole
from mreactor_ref.train import train
from mreactor_ref.train_options import TrainOptions
from mreactor_ref.training_run import CHECKPOINT, PROGRESS, STATE, VALIDATION_LOSS

SETTING, SIMULATED, RUNS = "setting.json", "simulated", "runs"  # in the folder of a study
SESSIONS = {"train": 96, "val": 8, "test": 12}  # simulated where no data are given
SAVE_EVERY = 500  # steps
SLOWEST_AVERAGE, AVERAGED_STEPS = 0.998, 5.0  # the longer a training, the longer its average

TOLD = ("steps", "batch_size", "frames", "learning_rate", "seed")  # of a training, in a report

Progress = Callable[[str, int, int], None]


def study_data(folder: Path, data: Path | None, seed: int, progress: Progress) -> Path:
    """The tree of a study: what was given, or dyads that are simulated in its folder, once."""
    if data is not None:
        return data
    tree = folder / SIMULATED
    if not (tree / "dataset.json").is_file():  # which is written last
        shutil.rmtree(tree, ignore_errors=True)
        write_dataset(tree, SESSIONS, seed, progress=partial(progress, "simulate"))
    return tree


def take_up(folder: Path, setting: Mapping[str, Any]) -> None:
    """Make the folder of a study, or go on in one that was asked for the same.

    Args:
        setting: what all of its figures depend on.

    Raises:
        UsageError: the study in the folder is another one; it says what differs.
    """
    path, asked = folder / SETTING, json.loads(json.dumps(dict(setting), default=str))
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(
            name for name in before.keys() | asked.keys() if before.get(name) != asked.get(name)
        )
        if changed:
            raise UsageError(
                f"holds a study of another setting: {', '.join(changed)} differ",
                folder,
                "give another --output, or the options of before",
            )
    write_whole(path, json.dumps(asked, indent=1).encode())


def training_options(folder: Path, data: Path, steps: int, seed: int, **more: Any) -> TrainOptions:
    """How each model of a study is trained; `output` is the folder of all runs.

    The moving average of a short training is shorter, or it would hold the first weights.
    """
    return TrainOptions(
        **{"data": data, "output": folder / RUNS, "steps": steps, "seed": seed},
        validate_every=min(steps, SAVE_EVERY),
        ema_decay=min(SLOWEST_AVERAGE, max(0.0, 1 - AVERAGED_STEPS / steps)),
        **more,
    )


def train_variant(
    config: ModelConfig, options: TrainOptions, command: str, progress: Progress
) -> Path:
    """The checkpoint of one training in `options.output`: made, gone on with, or there already.

    Raises:
        UsageError: the data cannot be used.
        TrainingError: a loss is not finite.
    """
    run = options.output
    saved = run / STATE / PROGRESS
    if not saved.is_file():  # stopped before it was first saved
        shutil.rmtree(run, ignore_errors=True)
    elif json.loads(saved.read_text())["step"] == options.steps:
        return run / CHECKPOINT
    return train(config, options, resume=saved.is_file(), report=progress, command=command)


def held_out_loss(checkpoint: Path) -> float:
    """Eq. 5 on held-out windows, as the training left it in a checkpoint."""
    return json.loads(read_metadata(checkpoint)["training"])[VALIDATION_LOSS]


def of_variant(progress: Progress, name: str) -> Progress:
    """Progress that says which variant it is of."""
    return lambda what, done, of: progress(f"{name}: {what}", done, of)
