"""Attention that skips what the decay leaves nothing of, against attention written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mreactor_runtime.kernels import cpu_attention as banded_attention
from mreactor_runtime.kernels.cpu_attention import BLOCK, SKIPPED, WHOLE, BandedAttention, reach

RATES = torch.tensor([0.01, 0.04, 0.15, 0.5])
HEADS, WIDTH = 4, 32


def written_out(queries: Tensor, keys: Tensor, values: Tensor, rates: Tensor = RATES) -> Tensor:
    """In float64, (N, T, D)."""
    frames = queries.shape[1]
    q, k, v = (
        x.double().unflatten(-1, (len(rates), -1)).transpose(1, 2) for x in (queries, keys, values)
    )
    place = torch.arange(frames)
    distance = (place[:, None] - place).abs()
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    weights = torch.softmax(scores - rates.double()[:, None, None] * distance, dim=-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def inputs(rows: int, frames: int, scale: float = 1.0, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(rows, frames, WIDTH, generator=generator) for _ in range(3)]


def attend(queries: Tensor, keys: Tensor, values: Tensor, rates: Tensor = RATES) -> Tensor:
    out = torch.full_like(queries, math.nan)
    BandedAttention(rates)(queries, keys.flip(1), values.flip(1), out)
    return out


@pytest.mark.parametrize("frames", [1, 2, 63, 250, WHOLE, WHOLE + 1, 3 * BLOCK + 7, 1500])
def test_it_is_attention_with_the_decay(frames):
    queries, keys, values = inputs(2, frames)
    expected = written_out(queries, keys, values)
    found = attend(queries, keys, values)
    assert (found - expected).norm() < 1e-6 * expected.norm()
    # Nothing that is skipped shows in float32, in any frame of any head.
    torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("frames", [40, 700])
def test_rows_may_share_keys(frames):
    queries, keys, values = inputs(3, frames)
    shared = keys[:1]
    expected = written_out(queries, shared.expand_as(keys), values)
    torch.testing.assert_close(
        attend(queries, shared, values), expected.float(), rtol=1e-5, atol=1e-5
    )


def test_large_scores_widen_the_reach():
    """A far frame whose score is larger than what the decay takes away is not skipped."""
    frames, rates = 900, torch.tensor([0.3])
    queries, keys, values = inputs(1, frames)
    queries[0, 100], keys[0, 800] = 30.0, 30.0  # 700 frames apart, which takes away 210
    expected = written_out(queries, keys, values, rates)
    assert (expected[0, 100] - values[0, 800].double()).norm() < 1e-3  # it takes all the weight
    torch.testing.assert_close(
        attend(queries, keys, values, rates), expected.float(), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("rate", [0.004, 0.05, 0.6, 3.0])
@pytest.mark.parametrize("margin", [0.0, 10.0])
def test_the_reach_keeps_the_bound_and_is_not_far_too_long(rate, margin):
    distance = torch.arange(1, 40_000, dtype=torch.float64)
    weights = 2 * torch.exp(margin - rate * distance)  # both sides, at the worst
    width = reach(rate, margin)
    assert weights[width:].sum() <= SKIPPED
    assert weights[max(0, width - math.ceil(4 / rate)) :].sum() > SKIPPED


def test_scores_that_are_not_finite_skip_nothing():
    assert reach(0.5, math.inf) > 10**6
    assert reach(0.5, math.nan) > 10**6


def test_less_is_computed_where_the_decay_is_fast(monkeypatch):
    """Counted in pairs of frames that the kernel is given."""
    pairs: list[int] = []
    kernel = torch.nn.functional.scaled_dot_product_attention

    def counting(q, k, v, attn_mask):
        pairs.append(q.shape[0] * q.shape[1] * q.shape[2] * k.shape[2])
        return kernel(q, k, v, attn_mask=attn_mask)

    monkeypatch.setattr(banded_attention.F, "scaled_dot_product_attention", counting)
    frames = 15_000
    queries, keys, values = inputs(1, frames)
    attend(queries, keys, values, torch.tensor([0.02, 0.04, 0.15, 0.5]))
    assert sum(pairs) < 0.2 * HEADS * frames**2
    pairs.clear()
    attend(*(x[:, :600] for x in (queries, keys, values)))
    assert sum(pairs) < HEADS * 600**2


def test_no_more_memory_than_the_frames_need():
    """12,000 frames: the scores alone would be 550 MiB a head."""
    queries, keys, values = inputs(1, 12_000)
    attention = BandedAttention(torch.tensor([0.1, 0.2, 0.3, 0.5]))
    out = torch.empty_like(queries)
    with torch.profiler.profile(profile_memory=True) as profiler:
        attention(queries, keys, values, out)
    largest = max(event.self_cpu_memory_usage for event in profiler.events() or ())
    assert largest < 50e6
