"""The tokens of a step and the first modulated norm, in one kernel; and its eager twin."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mreactor_ref.denoiser import Denoiser
from mreactor_ref.signals import REACTION
from mreactor_runtime.kernels.gpu_rows import check_in_one_piece, modulated

FRAMES = 32  # a program; with what the convolution sees around them they fit 64
DEEP, COLUMNS = 16, 64  # channels of a reaction, and of the tokens, that are multiplied at once
WARPS = 8


@dataclass(frozen=True)
class TokenWeights:
    """The embedding (D, 83) and the taps of the convolution (25, D), each with its bias (D)."""

    embed: Tensor
    embed_bias: Tensor
    taps: Tensor
    taps_bias: Tensor

    @classmethod
    def of(cls, denoiser: Denoiser) -> TokenWeights:
        conv = denoiser.context.conv
        assert conv.bias is not None
        taps = conv.weight[:, 0].T.contiguous()
        parts = denoiser.embed.weight, denoiser.embed.bias, taps, conv.bias
        return cls(*(part.detach().float().clone() for part in parts))


def eager_tokens(
    noisy: Tensor,
    style: Tensor,
    lengths: Tensor,
    weights: TokenWeights,
    modulation: Tensor,
    x: Tensor,
    y: Tensor,
) -> None:
    """Write the tokens of the reactions over the first of `x`, their modulated norm over `y`.

    A padded frame counts as the silence beyond the ends, also where it is read itself.

    Args:
        noisy: (B, S, T, 83) float32. style: (B, S, D). lengths: (B) int32, real frames.
        modulation: (M, D). x: (B, R, T, D) float32. y: the same in the type of the products.
    """
    reactions, frames = noisy.shape[1:3]
    e = F.linear(noisy, weights.embed, weights.embed_bias) + style[:, :, None]
    real = torch.arange(frames, device=e.device) < lengths[:, None, None]  # (B, 1, T)
    e = (e * real[..., None]).flatten(0, 1)  # (B S, T, D)
    taps = weights.taps.T[:, None]
    around = F.conv1d(e.mT, taps, weights.taps_bias, padding=taps.shape[-1] // 2, groups=len(taps))
    now = (e + around.mT).unflatten(0, (-1, reactions))
    x[:, :reactions] = now
    y[:, :reactions] = modulated(now, modulation, 0)


def launch_tokens(
    noisy: Tensor,
    style: Tensor,
    lengths: Tensor,
    weights: TokenWeights,
    modulation: Tensor,
    x: Tensor,
    y: Tensor,
) -> None:
    """The kernel, on CUDA or in Triton's interpreter."""
    from mreactor_runtime.kernels.triton.tokens import tokens_kernel

    check_in_one_piece(noisy=noisy, style=style, modulation=modulation, x=x, y=y)
    (clips, reactions, frames, _), (taps, width) = noisy.shape, weights.taps.shape
    blocks, span = -(-frames // FRAMES), span_of(taps)
    scratch = torch.empty(clips * reactions * blocks, span, width, device=noisy.device)
    tokens_kernel[(blocks, clips * reactions)](
        noisy,
        style,
        lengths,
        weights.embed,
        weights.embed_bias,
        weights.taps,
        weights.taps_bias,
        modulation,
        scratch,
        x,
        y,
        frames,
        reactions,
        x.stride(0),
        CHANNELS=REACTION,
        DEEP=DEEP,
        COLUMNS=min(COLUMNS, width),
        WIDTH=width,
        TAPS=taps,
        FRAMES=FRAMES,
        SPAN=span,
        num_warps=WARPS,  # pyright: ignore[reportCallIssue]
        enable_fp_fusion=True,  # pyright: ignore[reportCallIssue]
    )


def span_of(taps: int) -> int:
    """Frames that a program embeds: a power of two."""
    return 1 << (FRAMES + taps - 2).bit_length()
