"""The loss of training (C.4): eq. 5 with the losses of MPB and HCD; and on held-out data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mreactor_ref.model import Batch, Losses, MReactor, training_losses
from mreactor_ref.schedule import add_noise, logsnr_timesteps

WARMUP_STEPS = 200
LOG_SNR_SHARE = 0.5  # of the timesteps of training, that are even in log-SNR
LOG_SNR_STEPS = 100  # how finely


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


def learning_rate_factor(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine to a hundredth."""
    warm = min(1.0, (step + 1) / WARMUP_STEPS)
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps))))


def random_step(item: dict[str, Tensor], train_steps: int) -> tuple[Tensor, Tensor]:
    """A timestep and noise for each reaction of a batch.

    Half of the timesteps are even in time, half in log-SNR as a run's are: who listens, and in what
    mood, is settled in the first hundredth of the schedule, which the first half hardly visits.
    """
    target = item["target"]
    size, device = target.shape[:2], target.device
    visited = torch.from_numpy(logsnr_timesteps(LOG_SNR_STEPS, train_steps)).to(device)
    even = torch.randint(train_steps, size, device=device)
    as_run = visited[torch.randint(len(visited), size, device=device)]
    timestep = torch.where(torch.rand(size, device=device) < LOG_SNR_SHARE, as_run, even)
    return timestep, torch.randn_like(target)


def mean_losses(parts: Sequence[Losses]) -> Losses:
    """The mean of each loss over the parts of one step, without gradients."""
    names = vars(parts[0])
    return Losses(
        **{name: torch.stack([getattr(p, name).detach() for p in parts]).mean() for name in names}
    )


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
