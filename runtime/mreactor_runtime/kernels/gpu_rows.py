"""What the kernels of the denoiser share with their eager twins: norms, and places in memory.

The tokens `x` of all reactions stay in one piece of memory, (B, R, T, D) float32, and beside them
lies `y`, the modulated norm that the next product reads, in the type of the products. R is S, or
2 S with guidance: first the reactions with the speaker, then those without. Sublayers write over
both, so that nothing is ever joined or cut.
"""

from __future__ import annotations

import importlib.util

from torch import Tensor
from torch.nn import functional as F

from mreactor_ref.errors import UsageError

# Rows of `modulation` from a layer's first on: shift, scale, gate of each of its sublayers.
RELATIVE_GATE, SUBJECT_GATE, FED_GATE = 2, 5, 8


def modulated(x: Tensor, modulation: Tensor, shift: int) -> Tensor:
    """norm(x) * (1 + scale) + shift, by the rows `shift` and the next of `modulation` (.., D)."""
    return F.layer_norm(x, x.shape[-1:]) * (1 + modulation[shift + 1]) + modulation[shift]


def check_triton() -> None:
    """Raises: UsageError where Triton is not installed."""
    if importlib.util.find_spec("triton") is None:
        raise UsageError("triton is not installed", fix="pip install triton")


def check_in_one_piece(**tensors: Tensor) -> None:
    """Raises: ValueError that names what the kernels would misread."""
    apart = [name for name, x in tensors.items() if not x.is_contiguous()]
    if apart:
        raise ValueError(f"{', '.join(apart)}: not in one piece")
