"""The fused step against the reference's solver step: byte for byte, in place."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from fakes.triton_modes import DEVICE, needs_kernels
from torch import Tensor

from mreactor_ref.denoiser import guide
from mreactor_ref.sampler import sample, solver_step
from mreactor_ref.schedule import solver_table
from mreactor_runtime.kernels.step import eager_step, fused_step, launch_step

pytestmark = pytest.mark.gpu  # on a GPU where there is one

STEPS = [eager_step, pytest.param(launch_step, marks=needs_kernels)]
# The second is larger than one program's block of numbers, and no multiple of it.
SHAPES = [(1, 1, 1, 1), (2, 3, 5, 83)]
ROW: list[float] = np.array([0.3, 0.9, -0.4, 0.7], np.float32).tolist()


def normal(*shape: int, seed: int = 0) -> Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return values.to(DEVICE)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("noisy", [False, True])
def test_the_line_is_the_references_and_in_place(step, shape, noisy):
    x, clean, previous = (normal(*shape, seed=seed) for seed in range(3))
    noise = normal(*shape, seed=3) if noisy else None
    expected = solver_step(x, clean, previous, ROW, noise)
    kept = clean.clone()
    found = step(x, clean, previous, ROW, noise)
    assert found is x
    assert torch.equal(x, expected)
    assert torch.equal(clean, kept)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("guidance", [0.0, 1.0, 7.5])
def test_guidance_comes_before_the_line(step, shape, guidance):
    batch, reactions, *rest = shape
    x, previous = normal(*shape), normal(*shape, seed=1)
    clean = normal(batch, 2 * reactions, *rest, seed=2)
    scale = torch.tensor(guidance, device=DEVICE)
    guided = guide(clean[:, reactions:], clean[:, :reactions], scale)
    expected = solver_step(x, guided, previous, ROW, None)
    without = clean[:, reactions:].clone()
    step(x, clean, previous, ROW, None, scale)
    assert torch.equal(x, expected)
    assert torch.equal(clean[:, :reactions], guided), "the next step's previous"
    assert torch.equal(clean[:, reactions:], without)


@pytest.mark.parametrize("step", STEPS)
def test_the_previous_sample_may_hold_both_branches(step):
    shape = (2, 3, 4, 83)
    both = normal(2, 6, 4, 83, seed=1)
    x, clean = normal(*shape), normal(*shape, seed=2)
    expected = solver_step(x, clean, both[:, :3], ROW, None)
    assert torch.equal(step(x, clean, both, ROW, None), expected)


@needs_kernels
@pytest.mark.parametrize(
    ("clean", "previous"),
    [
        (torch.zeros(1, 2, 4, 83), torch.zeros(1, 1, 4, 83)),
        (torch.zeros(1, 1, 83, 4).mT, torch.zeros(1, 1, 4, 83)),
        (torch.zeros(1, 1, 4, 83, dtype=torch.float64), torch.zeros(1, 1, 4, 83)),
        (torch.zeros(1, 1, 4, 83), torch.zeros(1, 1, 4, 80)),
    ],
)
def test_the_kernel_refuses_what_it_would_misread(clean, previous):
    x = torch.zeros(1, 1, 4, 83, device=DEVICE)
    with pytest.raises(ValueError, match=r"branches|float32|fit"):
        launch_step(x, clean.to(DEVICE), previous.to(DEVICE), ROW, None)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("scheduler", ["ddim", "dpmsolver++", "ddpm"])
@pytest.mark.parametrize("guidance", [None, 2.0])
def test_the_loop_with_it_equals_the_reference_loop(step, scheduler, guidance):
    """With guidance the branches are c x and u x, so that the guided sample is known."""
    table, start = solver_table(scheduler, 6), normal(2, 3, 4, 83)
    scale = None if guidance is None else torch.tensor(guidance, device=DEVICE)

    def noise(i: int) -> Tensor:
        return normal(2, 3, 4, 83, seed=10 + i)

    def both(x: Tensor, i: int) -> Tensor:
        return torch.cat((x * 0.5 + i, x * 0.25 - i), dim=1)

    def denoise(x: Tensor, i: int) -> Tensor:
        c, u = both(x, i).chunk(2, dim=1)
        return c.clone() if scale is None else guide(u, c, scale)

    expected = sample(denoise, start, table, noise)
    fused = partial(step, guidance=scale)
    found = sample(denoise if scale is None else both, start.clone(), table, noise, fused)
    assert torch.equal(found, expected)


def test_the_eager_twin_runs_where_there_is_no_gpu():
    x, clean = torch.randn(1, 2, 3, 83), torch.randn(1, 2, 3, 83)
    expected = solver_step(x, clean, torch.zeros_like(x), ROW, None)
    assert torch.equal(fused_step(x, clean, torch.zeros_like(x), ROW, None), expected)
