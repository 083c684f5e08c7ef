"""The reference sampling loop: a free function over any `denoise` callable and any table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from mreactor_ref.schedule import SolverTable

Row = Sequence[float]  # a, b, c, n
Step = Callable[[Tensor, Tensor, Tensor, Row, Tensor | None], Tensor]


def solver_step(
    x: Tensor, clean: Tensor, previous: Tensor, row: Row, noise: Tensor | None
) -> Tensor:
    """One step of any solver: a x + b clean + c previous + n noise, summed in this order.

    Args:
        x, clean, previous, noise: (B, S, T, C); noise is None where n is 0.
        row: a, b, c, n. Numbers and no tensor: a CUDA graph may hold them, and no copy is made.
    """
    a, b, c, n = row
    x = a * x + b * clean + c * previous
    return x if noise is None else x + n * noise


@torch.no_grad()
def sample(
    denoise: Callable[[Tensor, int], Tensor],
    x: Tensor,
    table: SolverTable,
    noise: Callable[[int], Tensor] | None = None,
    step: Step = solver_step,
) -> Tensor:
    """The reverse diffusion, (B, S, T, C): from noise to the clean sample.

    Args:
        denoise: (x, i) -> the clean sample at step i of the table, guidance inside.
        x: (B, S, T, C) float32, standard normal; not changed.
        table: of `schedule.solver_table`.
        noise: i -> (B, S, T, C) standard normal; called only for steps that add noise, so the
            tables of solvers that add none need none.
        step: `solver_step`, or a faster twin of it.

    Raises:
        ValueError: the table adds noise, and there is no `noise`.
    """
    rows: list[Row] = table.rows.astype(np.float32).tolist()
    if noise is None and any(n for *_, n in rows):
        raise ValueError(f"scheduler {table.scheduler} adds noise, and none was given")
    previous = torch.zeros_like(x)
    for i, row in enumerate(rows):
        clean = denoise(x, i)
        drawn = noise(i) if noise is not None and row[-1] else None
        x, previous = step(x, clean, previous, row, drawn), clean
    return x
