"""Training (C.4): eq. 5 and the losses of MPB and HCD, on one CPU, one GPU or many.

Loop, devices, precision and resuming are accelerate's; this file says what a step is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration, set_seed
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from mreactor_ref.checkpoint import read_metadata, save_checkpoint
from mreactor_ref.config import CONFIGS, ModelConfig
from mreactor_ref.data.draws import Draws, DropRates, Statistics, statistics, with_subjects
from mreactor_ref.data.dyads import Dyad, load_dyads
from mreactor_ref.data.mars import read_mars
from mreactor_ref.emotion.recovery import ExpressiveRecovery
from mreactor_ref.errors import UsageError
from mreactor_ref.model import Batch, Losses, MReactor, training_losses
from mreactor_ref.schedule import add_noise

WARMUP_STEPS = 200
BETAS = (0.9, 0.99)
CHECKPOINT, HISTORY = "model.safetensors", "history.jsonl"  # in the folder of a run
SPLITS = ("train", "val")  # of the data
STATE, PROGRESS = "state", "progress.json"
NO_DROPS = DropRates(stream=0, face=0, prior=0, smoothness=0, everything=0)
VALIDATION_EXAMPLES = 128


@dataclass(frozen=True)
class TrainOptions:
    """How to train. `frames` is the length of a training window, `reactions` how many a window."""

    data: Path
    output: Path
    steps: int = 5000
    batch_size: int = 8
    reactions: int = 3
    frames: int = 96
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    ema_decay: float = 0.998
    mixed_precision: str = "no"
    seed: int = 0
    log_every: int = 50
    validate_every: int = 500
    drop: DropRates = field(default_factory=DropRates)


class Objective(nn.Module):
    """One training example to its losses; a module, so that accelerate can spread it."""

    def __init__(self, model: MReactor):
        super().__init__()
        self.model = model

    def forward(self, item: dict[str, Tensor], timestep: Tensor, noise: Tensor) -> Losses:
        """item: a batch of `Draws`; timestep (B, S); noise (B, S, T, 83)."""
        fields = dict(item)
        target, dropped = fields.pop("target"), fields.pop("dropped")
        clean = self.model.reaction(target)  # standardised
        noisy = add_noise(clean, noise, timestep, self.model.config.train_steps)
        return training_losses(self.model, Batch(**fields), clean, noisy, timestep, dropped)


def choose_config(name: str, **changes: object) -> ModelConfig:
    """A config of CONFIGS with what is not None changed. Raises UsageError for another name."""
    if name not in CONFIGS:
        raise UsageError(f"no config {name!r}", fix=f"one of: {', '.join(CONFIGS)}")
    given = {key: value for key, value in changes.items() if value is not None}
    return ModelConfig.from_dict({**CONFIGS[name].to_dict(), **given})


def apply_statistics(model: MReactor, stats: Statistics) -> None:
    """Put the training data's means and deviations into the model."""
    for name, (mean, std) in stats.streams.items():
        model.standard(name).set(torch.from_numpy(mean), torch.from_numpy(std))
    model.reaction.set(*(torch.from_numpy(x) for x in stats.reaction))
    model.smoothness_mean.fill_(stats.smoothness[0])
    model.smoothness_std.fill_(stats.smoothness[1])


def learning_rate_factor(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine to a hundredth."""
    warm = min(1.0, (step + 1) / WARMUP_STEPS)
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps))))


def loader(
    draws: Draws, batch_size: int, generator: torch.Generator | None = None
) -> DataLoader[Any]:
    """Batches in order. Each pass takes one number from `generator`, or from torch's own."""
    return DataLoader(draws, batch_size=batch_size, shuffle=False, generator=generator)  # pyright: ignore


def random_step(item: dict[str, Tensor], train_steps: int) -> tuple[Tensor, Tensor]:
    """A timestep and noise for each reaction of a batch."""
    target = item["target"]
    timestep = torch.randint(train_steps, target.shape[:2], device=target.device)
    return timestep, torch.randn_like(target)


@torch.no_grad()
def validate(objective: Objective, batches: list[dict[str, Tensor]], seed: int) -> float:
    """Eq. 5 on held-out windows, with the same noise each time."""
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    for item in batches:
        target = item["target"]
        timestep = torch.randint(
            objective.model.config.train_steps, target.shape[:2], generator=generator
        ).to(target.device)
        noise = torch.randn(target.shape, generator=generator).to(target.device)
        total += objective(item, timestep, noise).generation.item()
    return total / len(batches)


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
    report: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Train a model; returns the checkpoint, whose weights are the moving average.

    Writes to `options.output`: `model.safetensors`, `history.jsonl` (the loss curve), TensorBoard
    files and `state/` (for `resume`). `report(what, done, of)` is called as the work goes on.

    Raises: UsageError where the output holds another run and `resume` is not asked for, where
        there is nothing to resume or it is past `options.steps`, or where it cannot be written.
    """
    check_output(config, options.output, resume)
    for split in SPLITS:
        read_mars(options.data, split)  # says what is missing before a folder is made
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
    source = ExpressiveRecovery()
    splits: dict[str, list[Dyad]] = {}
    for split in SPLITS:

        def tell(done: int, of: int, split: str = split) -> None:
            if report is not None:
                report(f"read {split}", done, of)

        dyads = load_dyads(options.data, split, config, tell)
        splits[split] = [with_subjects(dyad, source) for dyad in dyads]
    run = _Run(accelerator, config, options, splits["train"], splits["val"])
    first = run.resume() if resume else 0
    run.train(first, report)
    accelerator.end_training()
    return run.checkpoint


class _Run:
    """What a training run holds: model, optimiser, moving average, data."""

    def __init__(
        self,
        accelerator: Accelerator,
        config: ModelConfig,
        options: TrainOptions,
        train_dyads: list[Dyad],
        val_dyads: list[Dyad],
    ):
        self.accelerator, self.options, self.config = accelerator, options, config
        self.train_dyads, self.stats = train_dyads, statistics(train_dyads, config)
        model = MReactor(config)
        model.fuse_attention()
        apply_statistics(model, self.stats)
        self.averaged = AveragedModel(
            model, multi_avg_fn=get_ema_multi_avg_fn(options.ema_decay)
        ).to(accelerator.device)
        optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=options.learning_rate,
            betas=BETAS,
            weight_decay=options.weight_decay,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, options.steps)
        )
        self.objective, self.optimizer = accelerator.prepare(Objective(model), optimizer)
        self.schedule = schedule
        accelerator.register_for_checkpointing(self.averaged, self.schedule)
        draws = Draws(
            val_dyads,
            self.stats,
            first=0,
            last=min(VALIDATION_EXAMPLES, 4 * len(val_dyads)),
            frames=options.frames,
            reactions=options.reactions,
            drop=NO_DROPS,
            seed=options.seed + 1,
        )
        self.val_batches = [
            {name: x.to(accelerator.device) for name, x in item.items()}
            for item in loader(draws, options.batch_size)
        ]

    @property
    def checkpoint(self) -> Path:
        return self.options.output / CHECKPOINT

    @property
    def average(self) -> MReactor:
        """The moving average of the weights, which is what a checkpoint keeps."""
        return cast(MReactor, self.averaged.module)

    def resume(self) -> int:
        """Back to what was last saved, and the history too: the step that comes before the next."""
        state, history = self.options.output / STATE, self.options.output / HISTORY
        step = json.loads((state / PROGRESS).read_text())["step"]
        if step > self.options.steps:
            raise UsageError(
                f"its run is at step {step} already, past {self.options.steps}",
                self.options.output,
                "give more steps",
            )
        self.accelerator.load_state(str(state))
        if self.accelerator.is_main_process:
            lines = history.read_text().splitlines(keepends=True)
            history.write_text("".join(x for x in lines if json.loads(x)["step"] <= step))
        return step

    def save(self, step: int) -> None:
        state = self.options.output / STATE
        self.accelerator.save_state(str(state))
        if self.accelerator.is_main_process:
            trained = {**asdict(self.options), "step": step}
            notes = {"training": json.dumps(trained, default=str)}
            save_checkpoint(self.average, self.checkpoint, notes)
            (state / PROGRESS).write_text(json.dumps({"step": step}))

    def train(self, first: int, report: Callable[[str, int, int], None] | None) -> None:
        options, world = self.options, self.accelerator.num_processes
        per_step = options.batch_size * world
        draws = Draws(
            self.train_dyads,
            self.stats,
            first=first * per_step,
            last=options.steps * per_step,
            frames=options.frames,
            reactions=options.reactions,
            drop=options.drop,
            seed=options.seed,
        )
        # A resumed run's noise goes on where it was: its loader takes no number of torch's own.
        generator = torch.Generator() if first else None
        batches = self.accelerator.prepare(loader(draws, options.batch_size, generator))
        for step, item in enumerate(batches, start=first + 1):
            losses = self.step(item)
            if step % options.log_every == 0 or step == options.steps:
                self.record(step, {f"train/{k}": v.item() for k, v in vars(losses).items()})
            if step % options.validate_every == 0 or step == options.steps:
                objective = Objective(self.average).to(self.accelerator.device)
                value = validate(objective, self.val_batches, options.seed)
                self.record(step, {"val/generation": value})
                self.save(step)
            if report is not None:
                report("train", step, options.steps)

    def step(self, item: dict[str, Tensor]) -> Losses:
        timestep, noise = random_step(item, self.config.train_steps)
        losses = self.objective(item, timestep, noise)
        self.accelerator.backward(losses.total)
        self.accelerator.clip_grad_norm_(self.objective.parameters(), self.options.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.schedule.step()
        self.averaged.update_parameters(self.accelerator.unwrap_model(self.objective).model)
        return losses

    def record(self, step: int, values: dict[str, float]) -> None:
        self.accelerator.log(values, step=step)
        if self.accelerator.is_main_process:
            rounded = {name: round(value, 6) for name, value in values.items()}
            with (self.options.output / HISTORY).open("a") as file:
                file.write(json.dumps({"step": step, **rounded}) + "\n")
