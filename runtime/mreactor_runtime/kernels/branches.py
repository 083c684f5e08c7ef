"""Both branches of guidance at once, without what they have in common done twice.

The reference runs one after the other. This is what is traced into the exported denoiser, and what
runs on a GPU without an export.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

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
            x = layer.attend_relative(x, rows, mask)  # (B, 2 S, T, D)
        else:
            keys, values = context.keys[:, i], context.values[:, :, i]
            attend = partial(subject, keys=keys, values=values, mask=mask)
            x = layer.attend_relative(x, rows, mask)
            c, u = (x, x) if i == 0 else (x[:, :count], x[:, count:])
            c = layer.attend_subject(c, rows, attend)
            u = layer.attend_subject(u, rows, lambda y, i=i: null[i].expand_as(y))
            x = torch.cat((c, u), dim=1)  # (B, 2 S, T, D)
        x = layer.feed_forward(x, rows)
    return denoiser.finish(x, modulation)
