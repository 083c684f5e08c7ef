"""Training on one CPU, one GPU or many: from a tree of pairs to a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration, set_seed

from mreactor_ref.checkpoint import read_metadata
from mreactor_ref.config import ModelConfig
from mreactor_ref.data.dyads import WORDLESS, Dyads, load_dyads
from mreactor_ref.data.trees import read_tree
from mreactor_ref.emotion.recovery import ExpressiveRecovery
from mreactor_ref.errors import UsageError
from mreactor_ref.model_card import CardFacts, write_model_card
from mreactor_ref.train_options import TrainOptions
from mreactor_ref.training_run import (
    BEST,
    CHECKPOINT,
    HISTORY,
    PROGRESS,
    STATE,
    Report,
    TrainingRun,
)

SPLITS = ("train", "val")  # of the data


def check_output(config: ModelConfig, output: Path, resume: bool) -> None:
    """Refuse a folder that a run cannot start in, or that holds nothing to resume.

    Raises: UsageError; it says which of the two, or that the run there is of another config.
    """
    saved = (output / STATE / PROGRESS).is_file()
    started = (output / HISTORY).exists()
    if started and not saved:
        raise UsageError(
            "its run was stopped before it was first saved",
            output,
            "remove the folder, or give another --output",
        )
    if not resume:
        if started:
            raise UsageError(
                "holds a training run already", output, "add --resume, or another --output"
            )
        return
    if not saved:
        raise UsageError("nothing to resume", output, "train without --resume first")
    before = json.loads(read_metadata(output / CHECKPOINT)["config"])
    changed = [name for name, value in config.to_dict().items() if before.get(name) != value]
    if changed:
        raise UsageError(
            f"its run is of another model: {', '.join(changed)} differ",
            output,
            "resume with the same --config, --attention and --layers",
        )


def train(
    config: ModelConfig,
    options: TrainOptions,
    *,
    resume: bool = False,
    report: Report | None = None,
    say: Callable[[str], None] | None = None,
    command: str | None = None,
) -> Path:
    """Train a model; returns the checkpoint, whose weights are the moving average.

    Writes to `options.output`: `model.safetensors` (the last), `best.safetensors` (the best
    on held-out data), `history.jsonl` (the loss curve), `model_card.md`, TensorBoard files
    and `state/` (for `resume`).

    Args:
        report: called with (what, done, of) as the work goes on.
        say: called with a line of what was left out of the data or should be known of it; of
            several processes only the first says and reports anything.
        command: the line that was typed, for the model card.

    Raises:
        UsageError: the data cannot be used; the output holds another run and `resume` is not asked
            for, there is nothing to resume, it is past `options.steps`, or it cannot be written.
        TrainingError: a loss or a gradient is not finite. What was saved before is kept.
    """
    check_output(config, options.output, resume)
    for split in SPLITS:  # says what is missing before a folder is made
        read_tree(options.data, split, options.roles, options.fps)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}", options.output, "give another --output"
        ) from None
    accelerator = Accelerator(
        mixed_precision=options.mixed_precision,
        log_with="tensorboard",
        project_config=ProjectConfiguration(project_dir=str(options.output)),
    )
    accelerator.init_trackers("logs")
    set_seed(options.seed, device_specific=True)  # or every GPU draws the same noise
    if not accelerator.is_main_process:
        report = say = None
    dyads = {split: _load(split, config, options, report, say) for split in SPLITS}
    if say is not None and not any(of_split.has_words for of_split in dyads.values()):
        say(WORDLESS)
    known = (of_split.explained(ExpressiveRecovery()) for of_split in dyads.values())
    run = TrainingRun(accelerator, config, options, *known)
    first = run.resume() if resume else 0
    run.train(first, report)
    if accelerator.is_main_process:
        checkpoints = {"last": run.checkpoint, "best": options.output / BEST}
        parameters = sum(x.numel() for x in run.average.parameters())
        facts = CardFacts(config, parameters, dyads, checkpoints, command)
        write_model_card(options.output, facts)
    accelerator.end_training()
    if say is not None and run.speed:
        say(f"train: {run.speed:,.0f} frames a second")
    return run.checkpoint


def _load(
    split: str,
    config: ModelConfig,
    options: TrainOptions,
    report: Report | None,
    say: Callable[[str], None] | None,
) -> Dyads:
    def tell(done: int, of: int) -> None:
        if report is not None:
            report(f"read {split}", done, of)

    dyads = load_dyads(
        options.data,
        split,
        config,
        tell,
        roles=options.roles,
        fps=options.fps,
        features=options.features,
    )
    if say is not None:
        for line in dyads.lines():
            say(line)
    return dyads
