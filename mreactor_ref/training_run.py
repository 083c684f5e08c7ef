"""A training run: its steps, what it records and saves, and how it goes on where it stopped."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from mreactor_ref.checkpoint import save_checkpoint
from mreactor_ref.config import ModelConfig
from mreactor_ref.data.draws import Draws, DropRates, Statistics, statistics
from mreactor_ref.data.dyads import Dyads
from mreactor_ref.emotion.recovery import ExpressiveRecovery
from mreactor_ref.errors import MReactorError, UsageError
from mreactor_ref.model import Losses, MReactor
from mreactor_ref.objective import (
    Objective,
    learning_rate_factor,
    mean_losses,
    random_step,
    validate,
)
from mreactor_ref.sampled_validation import FRCORR, SampledValidation
from mreactor_ref.train_options import LOSS, TrainOptions

BETAS = (0.9, 0.99)
# In the folder of a run: the last weights, the best on held-out data, the loss curve.
CHECKPOINT, BEST, HISTORY = "model.safetensors", "best.safetensors", "history.jsonl"
STATE, PROGRESS = "state", "progress.json"
VALIDATION_LOSS = "val/generation"
NO_DROPS = DropRates(stream=0, face=0, prior=0, smoothness=0, listener=0, everything=0)
VALIDATION_EXAMPLES = 128
MOST_NAMED = 8  # clips of a step that failed

Report = Callable[[str, int, int], None]
Part = tuple[dict[str, Tensor], list[str]]  # a batch of `Draws`, and the ids of its clips


class TrainingError(MReactorError):
    """Training cannot go on: its loss or its gradients are no longer finite numbers."""


def apply_statistics(model: MReactor, stats: Statistics) -> None:
    """Put the training data's means and deviations into the model."""
    for name, (mean, std) in stats.streams.items():
        model.standard(name).set(torch.from_numpy(mean), torch.from_numpy(std))
    model.reaction.set(*(torch.from_numpy(x) for x in stats.reaction))
    if stats.listeners is not None:
        model.listener_shares.copy_(torch.from_numpy(stats.listeners.shares))
    model.smoothness_mean.fill_(stats.smoothness[0])
    model.smoothness_std.fill_(stats.smoothness[1])


def loader(
    draws: Draws, batch_size: int, generator: torch.Generator | None = None, workers: int = 0
) -> DataLoader[Any]:
    """Batches in order. Each pass takes one number from `generator`, or from torch's own."""
    return DataLoader(
        draws,  # pyright: ignore[reportArgumentType]
        batch_size=batch_size,
        shuffle=False,
        generator=generator,
        num_workers=workers,
    )


class TrainingRun:
    """The state of a training run: model, optimiser, moving average, data."""

    def __init__(
        self,
        accelerator: Accelerator,
        config: ModelConfig,
        options: TrainOptions,
        train_dyads: Dyads,
        val_dyads: Dyads,
    ):
        self.accelerator, self.options, self.config = accelerator, options, config
        self.train_dyads, self.stats = train_dyads, statistics(train_dyads, config)
        self.saved, self.best, self.speed = 0, math.inf, 0.0
        self.sampled = None
        if options.best_by != LOSS:
            self.sampled = SampledValidation(val_dyads, ExpressiveRecovery(), options.seed)
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
        objective = Objective(model)
        if options.compile:
            objective.compile()
        self.objective, self.optimizer = accelerator.prepare(objective, optimizer)
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
        progress = json.loads((state / PROGRESS).read_text())
        step = progress["step"]
        if progress.get("best_by", LOSS) == self.options.best_by:
            self.best = progress.get("best", math.inf)
        if step > self.options.steps:
            raise UsageError(
                f"its run is at step {step} already, past {self.options.steps}",
                self.options.output,
                "give more steps",
            )
        self.accelerator.load_state(str(state))
        self.saved = step
        if self.accelerator.is_main_process:
            lines = history.read_text().splitlines(keepends=True)
            history.write_text("".join(x for x in lines if json.loads(x)["step"] <= step))
        return step

    def validate(self, step: int) -> dict[str, float]:
        """The loss on held-out windows, and measures of sampled reactions where they are asked for.

        Raises:
            TrainingError: it is not finite.
        """
        objective = Objective(self.average).to(self.accelerator.device)
        value = validate(objective, self.val_batches, self.options.seed)
        if not math.isfinite(value):
            raise self._broken(step, f"the loss on held-out data is {value:g}", [])
        values = {VALIDATION_LOSS: value}
        if self.sampled is not None:
            scores = self.sampled.scores(self.average)
            values |= {f"val/{name}": score for name, score in scores.items()}
        return values

    def save(self, step: int, values: dict[str, float]) -> None:
        """Save all; the best weights too, by `best_by` of the options.

        Args:
            values: of `validate`.
        """
        state, by = self.options.output / STATE, self.options.best_by
        self.accelerator.save_state(str(state))
        value = values[VALIDATION_LOSS if by == LOSS else f"val/{by}"] * (-1 if by == FRCORR else 1)
        best, self.best, self.saved = value < self.best, min(value, self.best), step
        if self.accelerator.is_main_process:
            trained = {**asdict(self.options), "step": step, **values}
            notes = {"training": json.dumps(trained, default=str)}
            save_checkpoint(self.average, self.checkpoint, notes)
            if best:
                save_checkpoint(self.average, self.options.output / BEST, notes)
            progress = {"step": step, "best": self.best, "best_by": by}
            (state / PROGRESS).write_text(json.dumps(progress))

    def train(self, first: int, report: Report | None) -> None:
        """Train from the step after `first` to the last."""
        options, since, frames = self.options, time.perf_counter(), 0
        steps = self._steps(first)
        for step in range(first + 1, options.steps + 1):
            losses = self.step(step, next(steps))
            frames += options.accumulate * options.batch_size * options.frames
            if step % options.log_every == 0 or step == options.steps:
                self.record(step, {f"train/{k}": v.item() for k, v in vars(losses).items()})
                self.speed = self.accelerator.num_processes * frames / (time.perf_counter() - since)
                self.accelerator.log({"speed/frames_per_second": self.speed}, step=step)
                since, frames = time.perf_counter(), 0
            if step % options.validate_every == 0 or step == options.steps:
                values = self.validate(step)
                self.record(step, values)
                self.save(step, values)
            if report is not None:
                report("train", step, options.steps)

    def _steps(self, first: int) -> Iterator[list[Part]]:
        """The batches of each step from the one after `first`, with the ids of their clips."""
        options, accelerator = self.options, self.accelerator
        per_step = options.batch_size * accelerator.num_processes * options.accumulate
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
        batches = loader(draws, options.batch_size, generator, options.workers)
        ids, parts = self.train_dyads.ids(), list[Part]()
        for number, item in enumerate(accelerator.prepare(batches)):
            place = number * accelerator.num_processes + accelerator.process_index
            examples = range(place * options.batch_size, (place + 1) * options.batch_size)
            parts.append((item, [ids[draws.dyad_number(i)] for i in examples]))
            if len(parts) == options.accumulate:
                yield parts
                parts = []

    def step(self, step: int, parts: list[Part]) -> Losses:
        """One step of the optimiser over all parts; their mean losses.

        Raises:
            TrainingError: a loss or a gradient is not finite. The weights are as they were.
        """
        losses: list[Losses] = []
        for number, (item, _) in enumerate(parts, start=1):
            timestep, noise = random_step(item, self.config.train_steps)
            with self.accelerator.no_sync(self.objective if number < len(parts) else None):
                losses.append(self.objective(item, timestep, noise))
                self.accelerator.backward(losses[-1].total / len(parts))
        norm = self.accelerator.clip_grad_norm_(
            self.objective.parameters(), self.options.max_grad_norm
        )
        mean = mean_losses(losses)
        total, length = mean.total.item(), 0.0 if norm is None else float(norm)
        if not math.isfinite(total + length):
            clips = sorted({id for _, ids in parts for id in ids})
            raise self._broken(step, f"the loss is {total:g}, of a gradient of {length:g}", clips)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.schedule.step()
        self.averaged.update_parameters(self.accelerator.unwrap_model(self.objective).model)
        return mean

    def _broken(self, step: int, problem: str, clips: list[str]) -> TrainingError:
        named = f"; the clips: {', '.join(clips[:MOST_NAMED])}" if clips else ""
        more = f" and {len(clips) - MOST_NAMED} more" if len(clips) > MOST_NAMED else ""
        kept = f"{self.checkpoint} is of step {self.saved}" if self.saved else "nothing was saved"
        return TrainingError(
            f"stopped at step {step}: {problem}{named}{more}; {kept}",
            self.options.output,
            "train again with a smaller --learning-rate, or see what mreactor-data check says",
        )

    def record(self, step: int, values: dict[str, float]) -> None:
        self.accelerator.log(values, step=step)
        if self.accelerator.is_main_process:
            rounded = {name: round(value, 6) for name, value in values.items()}
            with (self.options.output / HISTORY).open("a") as file:
                file.write(json.dumps({"step": step, **rounded}) + "\n")
