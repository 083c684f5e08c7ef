import math

import pytest
import torch
from torch.nn import functional as F

from mreactor_ref.attention import Attend, CrossAttention, Decay, SelfAttention, key_mask

WIDTH, HEADS, FRAMES = 8, 2, 6


def tokens(*lead: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*lead, FRAMES, WIDTH, generator=torch.Generator().manual_seed(seed))


def all_real(clips: int) -> torch.Tensor:
    return torch.ones(clips, FRAMES, dtype=torch.bool)


def test_the_decay_is_minus_a_positive_rate_times_the_distance():
    bias = Decay(HEADS)(4)
    rate = -bias[:, 0, 1]
    assert (rate > 0).all()
    assert not torch.equal(rate[0], rate[1])
    expected = torch.tensor([[0.0, 1, 2, 3], [1, 0, 1, 2], [2, 1, 0, 1], [3, 2, 1, 0]])
    torch.testing.assert_close(bias, -rate[:, None, None] * expected)


def test_relative_attention_is_the_papers_formula():
    """softmax(Q K' / sqrt(d) - eps_h |x - y|) V, written with loops."""
    attention = SelfAttention(WIDTH, HEADS, decay=True)
    x = tokens(1, 1)
    q, k, v = attention.to_qkv(x[0, 0]).chunk(3, dim=-1)
    size, heads = WIDTH // HEADS, []
    assert attention.decay is not None
    for h, rate in enumerate(attention.decay.log_rate.exp()):
        part = slice(h * size, (h + 1) * size)
        scores = torch.stack(
            [
                torch.stack(
                    [
                        q[x, part] @ k[y, part] / math.sqrt(size) - rate * abs(x - y)
                        for y in range(FRAMES)
                    ]
                )
                for x in range(FRAMES)
            ]
        )
        heads.append(torch.softmax(scores, dim=-1) @ v[:, part])
    expected = attention.out(torch.cat(heads, dim=-1))
    torch.testing.assert_close(attention(x, all_real(1))[0, 0], expected)


def test_a_large_rate_leaves_each_frame_alone():
    attention = SelfAttention(WIDTH, HEADS, decay=True)
    assert attention.decay is not None
    with torch.no_grad():
        attention.decay.log_rate.fill_(10.0)
    x = tokens(1, 1)
    own = attention.out(attention.to_qkv(x).chunk(3, dim=-1)[2])
    torch.testing.assert_close(attention(x, all_real(1)), own)


def test_plain_self_attention_does_not_know_distance():
    attention = SelfAttention(WIDTH, HEADS, decay=False)
    x, order = tokens(1, 2), torch.randperm(FRAMES, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        attention(x[:, :, order], all_real(1)), attention(x, all_real(1))[:, :, order]
    )


@pytest.mark.parametrize("fused", [False, True])
def test_padded_frames_get_no_attention(fused: bool):
    attention = SelfAttention(WIDTH, HEADS, decay=True)
    attention.attend.fused = fused
    x, mask = tokens(2, 3), all_real(2)
    mask[1, 4:] = False
    changed = x.clone()
    changed[1, :, 4:] = 100.0
    torch.testing.assert_close(attention(x, mask)[1, :, :4], attention(changed, mask)[1, :, :4])
    torch.testing.assert_close(
        attention(x, mask)[1, :, :4], attention(x[1:, :, :4], mask[1:, :4])[0]
    )


def test_subject_attention_is_made_from_keys_values_and_prior():
    attention = CrossAttention(WIDTH, HEADS, subject=True)
    assert attention.from_prior is not None
    with torch.no_grad():
        attention.from_prior.weight.normal_(generator=torch.Generator().manual_seed(0))
    condition, prior = tokens(1), tokens(1, 2, seed=1)
    scale, shift = attention.from_prior(prior).chunk(2, dim=-1)
    values = attention.values(condition, prior)
    torch.testing.assert_close(values, attention.to_value(condition)[:, None] * (1 + scale) + shift)
    x = tokens(1, 1, seed=2).expand(1, 2, -1, -1)
    out = attention(x, attention.keys(condition), values, all_real(1))
    assert not torch.allclose(out[:, 0], out[:, 1])  # same queries, other subject


def test_attention_to_one_repeated_token_is_its_value():
    attention = CrossAttention(WIDTH, HEADS, subject=True)
    token, prior = torch.randn(WIDTH), torch.randn(WIDTH)
    condition = token.expand(1, FRAMES, -1)
    keys = attention.keys(condition)
    values = attention.values(condition, prior.expand(1, 3, FRAMES, -1))
    out = attention(tokens(1, 3), keys, values, all_real(1))
    torch.testing.assert_close(out, attention.null(token, prior).expand_as(out))


def test_fused_attention_is_the_written_one():
    attend, fused = Attend(), Attend()
    fused.fused = True
    q = torch.randn(2, 3, HEADS, FRAMES, 4)
    k = torch.randn(2, 1, HEADS, FRAMES, 4)
    v = torch.randn(2, 3, HEADS, FRAMES, 4)
    mask = all_real(2)
    mask[1, 3:] = False
    bias = key_mask(mask, q.dtype) + Decay(HEADS)(FRAMES)
    torch.testing.assert_close(fused(q, k, v, bias), attend(q, k, v, bias))


def test_the_rates_learn():
    attention = SelfAttention(WIDTH, HEADS, decay=True)
    F.mse_loss(attention(tokens(1, 1), all_real(1)), tokens(1, 1, seed=3)).backward()
    assert attention.decay is not None
    assert attention.decay.log_rate.grad is not None
    assert (attention.decay.log_rate.grad != 0).all()
