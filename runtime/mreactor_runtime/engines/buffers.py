"""Named memory for the inputs and outputs of engines that run exported graphs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mreactor_runtime.tensors import GraphSpec, TensorSpec


def hold(spec: GraphSpec, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inputs of a graph in the table's order, each in one piece of memory."""
    return {tensor.name: inputs[tensor.name].detach().contiguous() for tensor in spec.inputs}


def sizes_of(spec: GraphSpec, inputs: Mapping[str, Tensor]) -> dict[str, int]:
    """Symbol -> size, as the inputs have them."""
    return {
        axis: size
        for tensor in spec.inputs
        for axis, size in zip(tensor.axes, inputs[tensor.name].shape, strict=True)
        if isinstance(axis, str)
    }


def allocate(
    tensors: tuple[TensorSpec, ...], sizes: Mapping[str, int], device: torch.device
) -> dict[str, Tensor]:
    """Uninitialised memory for tensors of the table."""
    return {
        tensor.name: torch.empty(
            tensor.shape(sizes), dtype=getattr(torch, tensor.dtype), device=device
        )
        for tensor in tensors
    }
