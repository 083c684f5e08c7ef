"""The fused attention with a decay, kernel and twin, against the reference's attention."""

from __future__ import annotations

import pytest
import torch
from fakes.triton_modes import DEVICE, needs_kernels
from torch import Tensor

from mreactor_ref.attention import Attend, key_mask
from mreactor_runtime.kernels.cpu_attention import SKIPPED
from mreactor_runtime.kernels.gpu_attention import (
    NORMED,
    Tile,
    decay_attention,
    launch_attention,
    launch_key_lengths,
    launch_tiled,
)

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


def lengths_of(*real: int) -> Tensor:
    return torch.tensor(real, dtype=torch.int32, device=DEVICE)


def real_of(frames: int, lengths: Tensor) -> Tensor:
    """True for real frames, (B, T)."""
    return torch.arange(frames, device=DEVICE)[None] < lengths[:, None]


def reference(q: Tensor, k: Tensor, v: Tensor, rates: Tensor, lengths: Tensor) -> Tensor:
    """In float64, scores and all."""
    frames = q.shape[3]
    place = torch.arange(frames, device=DEVICE, dtype=torch.float64)
    bias = -rates.double()[:, None, None] * (place[:, None] - place[None, :]).abs()
    bias = key_mask(real_of(frames, lengths), torch.float64) + bias
    return Attend()(q.double(), k.double(), v.double(), bias)


def error(found: Tensor, expected: Tensor, lengths: Tensor) -> float:
    """Relative L2, of real frames."""
    real = real_of(found.shape[3], lengths)[:, None, None, :, None]
    found, expected = found * real, expected * real
    return float((found.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("frames", [1, 2, 63, 65, 150])
def test_it_is_the_references_attention(call, dtype, frames):
    q, k, v = example(frames, dtype=dtype)
    rates, lengths = torch.tensor([0.01, 0.5], device=DEVICE), lengths_of(frames)
    found = call(q, k, v, rates, lengths)
    assert found.dtype == dtype
    assert error(found, reference(q, k, v, rates, lengths), lengths) < BOUNDS[dtype]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("shared", [True, False])
def test_padded_frames_get_no_attention(call, shared):
    q, k, v = example(140, clips=4, shared=shared)
    rates, lengths = torch.tensor([0.02, 0.3], device=DEVICE), lengths_of(140, 128, 33, 1)
    expected = reference(q, k, v, rates, lengths)
    padded = ~real_of(140, lengths)[:, None, None, :, None]
    for x in (k, v):
        x.masked_fill_(padded, 1e4)
    found = call(q, k, v, rates, lengths)
    assert error(found, expected, lengths) < BOUNDS[torch.float32]
    assert found.isfinite().all()


@needs_kernels
@pytest.mark.parametrize("width", [4, 20, 32])
def test_widths_of_a_head_that_no_unit_has(width):
    q, k, v = example(40, width=width, heads=1)
    rates, lengths = torch.tensor([0.1], device=DEVICE), lengths_of(37)
    found = launch_attention(q, k, v, rates, lengths)
    assert error(found, reference(q, k, v, rates, lengths), lengths) < BOUNDS[torch.float32]


@needs_kernels
@pytest.mark.parametrize("tile", [(64, 64, 4, 2), (128, 64, 8, 3), (64, 32, 4, 2)])
def test_every_tile_sees_all_frames_on_both_sides(tile: Tile):
    """400 frames are blocks before, around and after the queries, and half a block at the end."""
    q, k, v = example(400, reactions=1)
    rates, lengths = torch.tensor([0.01, 0.2], device=DEVICE), lengths_of(390)
    longest = launch_key_lengths(k, lengths)
    found = launch_tiled(q, k, v, rates, lengths, longest, tile)
    assert error(found, reference(q, k, v, rates, lengths), lengths) < BOUNDS[torch.float32]


@needs_kernels
def test_heads_joined_need_no_copy_and_any_layout_is_read():
    q, k, v = example(20)
    rates, lengths = torch.tensor([0.1, 0.2], device=DEVICE), lengths_of(20)
    found = launch_attention(q, k, v, rates, lengths)
    assert found.transpose(2, 3).is_contiguous()
    moved = [x.transpose(-1, -2).contiguous().transpose(-1, -2) for x in (q, k, v)]
    assert torch.equal(launch_attention(*moved, rates, lengths), found)


@needs_kernels
def test_the_longest_key_of_each_block_is_found():
    _, k, _ = example(150, clips=2, shared=False)
    lengths = lengths_of(150, 100)
    norms = torch.linalg.vector_norm(k, dim=-1) * real_of(150, lengths)[:, None, None]
    blocks = norms.split(NORMED, dim=-1)
    expected = torch.stack([block.amax(dim=-1) for block in blocks], dim=-1)
    assert torch.allclose(launch_key_lengths(k, lengths), expected, rtol=1e-6)


@needs_kernels
def test_keys_that_weigh_nothing_are_not_read():
    """A number that is no number would spoil the queries that read it."""
    frames, rates = 500, torch.tensor([2.0, 0.2], device=DEVICE)
    q, k, v = example(frames)
    lengths = lengths_of(frames)
    expected = reference(q, k, v, rates, lengths)
    v[:, :, :, 448:] = float("nan")
    found = launch_attention(q, k, v, rates, lengths)
    clear = [int((~found[:, :, h].isnan().any(dim=-1)).sum(dim=-1).min()) for h in range(2)]
    print(f"queries that read none of the last frames, at rates {rates.tolist()}: {clear}")
    # At the higher rate 17 frames and what the scores add; the blocks of queries are of 64.
    assert clear[0] >= 384
    assert 0 < clear[1] < clear[0]
    near, far = found[:, :, 0, :384], expected[:, :, 0, :384]
    assert float((near - far).norm() / far.norm()) < BOUNDS[torch.float32]


@needs_kernels
def test_a_key_that_stands_out_is_seen_from_afar():
    """Its decay leaves exp(-70) of it, and its score makes up for that: no bound on the decay
    alone would let it through."""
    q, k, v = example(300, heads=1, reactions=1)
    q[..., 0, :], k[..., 280, :] = 20.0, 20.0
    rates, lengths = torch.tensor([0.25], device=DEVICE), lengths_of(300)
    expected = reference(q, k, v, rates, lengths)
    assert float((expected[..., 0, :] - v[..., 280, :]).norm()) < 1e-6, "it is what query 0 sees"
    found = launch_attention(q, k, v, rates, lengths)
    assert error(found, expected, lengths) < BOUNDS[torch.float32]


@needs_kernels
@pytest.mark.parametrize(("skipped", "most"), [(0.0, 1e-6), (SKIPPED, 1e-6), (1e9, 1.0)])
def test_what_is_skipped_costs_no_more_than_it_says(skipped, most):
    """Scores of deviation 2, and rates as a trained model has: relative L2 to all the keys."""
    q, k, v = example(700, heads=2, reactions=1, spread=2.0)
    rates, lengths = torch.tensor([0.05, 0.5], device=DEVICE), lengths_of(700)
    longest = launch_key_lengths(k, lengths)
    found = launch_tiled(q, k, v, rates, lengths, longest, skipped=skipped)
    cost = error(found, reference(q, k, v, rates, lengths), lengths)
    print(f"skipped {skipped:g}: {cost:.2g}")
    assert cost < most
    if skipped > 1:
        assert cost > 1e-6, "what is skipped shows, so the bound is really applied"


@needs_kernels
def test_no_decay_is_plain_attention():
    q, k, v = example(150)
    rates, lengths = torch.zeros(2, device=DEVICE), lengths_of(150)
    found = launch_attention(q, k, v, rates, lengths)
    assert error(found, reference(q, k, v, rates, lengths), lengths) < BOUNDS[torch.float32]


@needs_kernels
def test_a_reaction_alone_gives_the_same_bytes():
    q, k, v = example(70, reactions=3)
    rates, lengths = torch.tensor([0.1, 0.4], device=DEVICE), lengths_of(66)
    together = launch_attention(q, k, v, rates, lengths)
    for s in range(3):
        alone = launch_attention(q[:, s : s + 1], k, v[:, s : s + 1], rates, lengths)
        assert torch.equal(alone[:, 0], together[:, s])


@needs_kernels
def test_keys_of_another_shape_are_refused():
    q, k, v = example(10)
    with pytest.raises(ValueError, match="do not fit"):
        launch_attention(q, k[..., :5, :], v, torch.zeros(2, device=DEVICE), lengths_of(10))


def test_the_compiler_sees_one_operator():
    q, k, v = (x.cpu() for x in example(6))
    rates, lengths = torch.tensor([0.1, 0.4]), torch.tensor([5], dtype=torch.int32)
    torch.library.opcheck(decay_attention, (q, k, v, rates, lengths))
