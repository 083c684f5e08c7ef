"""Both branches of guidance at once, without what they have in common done twice.

The reference runs one after the other. This is what is traced into the exported denoiser, and what
runs on a GPU without an export.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mreactor_ref.denoiser import Context, Denoiser, Layer


def branches(
    denoiser: Denoiser,
    null: Sequence[Tensor] | Tensor,
    noisy: Tensor,
    modulation: Tensor,
    context: Context,
    mask: Tensor,
) -> Tensor:
    """Both branches as reactions of one batch, the first S with the speaker, the last S without.

    What they share, the tokens and the first attention of the frames to each other, is made once.

    Args:
        null: of `Denoiser.null_outputs`, or those as one tensor (L, D).
        Others: as in `Denoiser.conditional`.
    Returns: (B, 2 S, T, 83).
    """
    count = noisy.shape[1]
    x = denoiser.tokens(noisy, context.style, mask)  # (B, S, T, D)
    if denoiser.kind == "self":
        x = torch.cat((x + context.condition[:, None], x + denoiser.null_token), dim=1)
    for i, layer in enumerate(denoiser.layers):
        assert isinstance(layer, Layer)
        rows, subject = denoiser.rows(modulation, i), layer.subject
        if subject is None:
            x = layer(x, rows, mask, _nothing)  # (B, 2 S, T, D)
            continue
        at = 0 if layer.relative is None else 1  # where the attention to the speaker stands
        before, own, after = slice(at), slice(at, at + 1), slice(at + 1, None)
        keys, values = context.keys[:, i], context.values[:, :, i]
        x = layer(x, rows, mask, _nothing, before)
        c, u = (x, x) if i == 0 else (x[:, :count], x[:, count:])
        c = layer(c, rows, mask, lambda y, a=subject, k=keys, v=values: a(y, k, v, mask), own)
        u = layer(u, rows, mask, lambda y, i=i: null[i].expand_as(y), own)
        x = layer(torch.cat((c, u), dim=1), rows, mask, _nothing, after)  # (B, 2 S, T, D)
    return denoiser.finish(x, modulation)


def _nothing(_: Tensor) -> Tensor:
    raise AssertionError("a part without the attention to the speaker asked for it")
