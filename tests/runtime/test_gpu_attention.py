"""The fused attention with a decay, kernel and twin, against the reference's attention."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fakes.triton_modes import DEVICE, needs_kernels
from torch import Tensor

from mreactor_ref.attention import Attend, key_mask
from mreactor_runtime.kernels.gpu_attention import BOUND, TILES, decay_attention, launch_attention

pytestmark = pytest.mark.gpu  # on a GPU where there is one

CALLS = [decay_attention, pytest.param(launch_attention, marks=needs_kernels)]
# Relative L2 to the reference in float32 of the same rounded numbers: the result's own rounding,
# and in the half types that of the softmax's weights.
BOUNDS = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 6e-3}


def example(
    frames: int,
    clips: int = 1,
    reactions: int = 2,
    heads: int = 2,
    width: int = 8,
    shared: bool = True,
    dtype: torch.dtype = torch.float32,
    spread: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, laid out as the linear layers leave them: heads inside a frame."""
    generator = torch.Generator().manual_seed(frames)

    def normal(count: int) -> Tensor:
        x = torch.randn(clips, count, frames, heads, width, generator=generator)
        return x.to(DEVICE, dtype).transpose(2, 3)

    return spread * normal(reactions), normal(1 if shared else reactions), normal(reactions)


def mask_of(frames: int, *real: int) -> Tensor:
    return torch.arange(frames, device=DEVICE)[None] < torch.tensor(real, device=DEVICE)[:, None]


def reference(q: Tensor, k: Tensor, v: Tensor, rates: Tensor, mask: Tensor) -> Tensor:
    """In float64, scores and all."""
    place = torch.arange(mask.shape[1], device=DEVICE, dtype=torch.float64)
    bias = -rates.double()[:, None, None] * (place[:, None] - place[None, :]).abs()
    bias = key_mask(mask, torch.float64) + bias
    return Attend()(q.double(), k.double(), v.double(), bias)


def error(found: Tensor, expected: Tensor, mask: Tensor | None = None) -> float:
    """Relative L2, of real frames."""
    if mask is not None:
        real = mask[:, None, None, :, None]
        found, expected = found * real, expected * real
    return float((found.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("frames", [1, 2, 63, 65, 150])
def test_it_is_the_references_attention(call, dtype, frames):
    q, k, v = example(frames, dtype=dtype)
    rates = torch.tensor([0.01, 0.5], device=DEVICE)
    mask = mask_of(frames, frames)
    found = call(q, k, v, rates, mask)
    assert found.dtype == dtype
    assert error(found, reference(q, k, v, rates, mask)) < BOUNDS[dtype]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("shared", [True, False])
def test_padded_frames_get_no_attention(call, shared):
    q, k, v = example(70, clips=3, shared=shared)
    rates = torch.tensor([0.02, 0.3], device=DEVICE)
    mask = mask_of(70, 70, 33, 1)
    expected = reference(q, k, v, rates, mask)
    for x in (k, v):
        x.masked_fill_(~mask[:, None, None, :, None], 1e4)
    assert error(call(q, k, v, rates, mask), expected) < BOUNDS[torch.float32]


@needs_kernels
@pytest.mark.parametrize("width", [4, 20, 32])
def test_widths_of_a_head_that_no_unit_has(width):
    q, k, v = example(40, width=width, heads=1)
    rates, mask = torch.tensor([0.1], device=DEVICE), mask_of(40, 37)
    found = launch_attention(q, k, v, rates, mask)
    assert error(found, reference(q, k, v, rates, mask), mask) < BOUNDS[torch.float32]


@needs_kernels
def test_heads_joined_need_no_copy_and_any_layout_is_read():
    q, k, v = example(20)
    rates, mask = torch.tensor([0.1, 0.2], device=DEVICE), mask_of(20, 20)
    found = launch_attention(q, k, v, rates, mask)
    assert found.transpose(2, 3).is_contiguous()
    moved = [x.transpose(-1, -2).contiguous().transpose(-1, -2) for x in (q, k, v)]
    assert torch.equal(launch_attention(*moved, rates, mask), found)


@needs_kernels
def test_blocks_of_keys_beyond_the_bound_are_not_read():
    """A number that is no number would spoil the queries that read it."""
    frames, rates = 400, torch.tensor([2.0, 0.2], device=DEVICE)
    queries, keys, *_ = TILES[4]
    q, k, v = example(frames)
    mask = mask_of(frames, frames)
    expected = reference(q, k, v, rates, mask)
    v[:, :, :, 300:] = float("nan")
    found = launch_attention(q, k, v, rates, mask)
    for head, rate in enumerate(rates.tolist()):
        # From the first query whose block of queries, or of keys, can see so far.
        seen = 300 // keys * keys - int(BOUND / rate)
        first = max(seen - queries, 0) // queries * queries
        clear = found[:, :, head, :first]
        assert not clear.isnan().any()
        assert found[:, :, head, 300:].isnan().all()
        if rate == 2.0:
            assert first == 192
            assert error(clear, expected[:, :, head, :first]) < BOUNDS[torch.float32]


@needs_kernels
def test_a_query_that_reaches_no_key_gets_zeros():
    q, k, v = example(200, heads=1)
    rates, mask = torch.tensor([2.0], device=DEVICE), mask_of(200, 10)
    found = launch_attention(q, k, v, rates, mask)
    assert torch.equal(found[..., 160:, :], torch.zeros_like(found[..., 160:, :]))
    assert error(found, reference(q, k, v, rates, mask), mask) < BOUNDS[torch.float32]


@needs_kernels
@pytest.mark.parametrize(("bound", "most"), [(BOUND, 1e-6), (16.0, 1e-6), (8.0, 4e-4)])
def test_what_the_bound_costs(bound, most):
    """Scores of deviation 2, and rates as a trained model has: relative L2 to all the keys."""
    q, k, v = example(700, heads=2, reactions=1, spread=2.0)
    rates, mask = torch.tensor([0.05, 0.5], device=DEVICE), mask_of(700, 700)
    found = launch_attention(q, k, v, rates, mask, bound)
    cost = error(found, reference(q, k, v, rates, mask))
    print(f"bound {bound:g}: {cost:.2g}")
    assert cost < most
    if bound == 8.0:
        assert cost > 1e-6, "what is skipped shows, so the bound is really applied"


@needs_kernels
def test_no_decay_is_plain_attention():
    q, k, v = example(70)
    rates, mask = torch.zeros(2, device=DEVICE), mask_of(70, 70)
    found = launch_attention(q, k, v, rates, mask)
    assert error(found, reference(q, k, v, rates, mask)) < BOUNDS[torch.float32]


@needs_kernels
def test_a_reaction_alone_gives_the_same_bytes():
    q, k, v = example(70, reactions=3)
    rates, mask = torch.tensor([0.1, 0.4], device=DEVICE), mask_of(70, 66)
    together = launch_attention(q, k, v, rates, mask)
    for s in range(3):
        alone = launch_attention(q[:, s : s + 1], k, v[:, s : s + 1], rates, mask)
        assert torch.equal(alone[:, 0], together[:, s])


@needs_kernels
def test_keys_of_another_shape_are_refused():
    q, k, v = example(10)
    with pytest.raises(ValueError, match="do not fit"):
        launch_attention(q, k[..., :5, :], v, torch.zeros(2, device=DEVICE), mask_of(10, 10))


def test_the_compiler_sees_one_operator():
    q, k, v = (x.cpu() for x in example(6))
    rates, mask = torch.tensor([0.1, 0.4]), mask_of(6, 5).cpu()
    torch.library.opcheck(decay_attention, (q, k, v, rates, mask))


@needs_kernels
def test_the_kernels_compile_for_gpus_and_spill_no_register():
    """For compute capability 8.0 and 9.0; Triton brings the assembler. Not in the interpreter."""
    script = Path(__file__).parents[1] / "fakes/compile_kernels.py"
    found = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    assert len(lines) == 6, found.stdout
    for line in lines:
        assert "STACK:0" in line, line
