"""Small models as ONNX graphs, exported once for all tests: tracing a graph takes seconds."""

from __future__ import annotations

from functools import cache

import torch

from fakes.models import random_model, small_config
from mreactor_export.to_onnx import export_graph
from mreactor_ref.config import Attention
from mreactor_ref.model import MReactor
from mreactor_ref.signals import STREAMS
from mreactor_runtime.engines.onnxruntime_engine import OnnxRuntimeEngine
from mreactor_runtime.tensors import all_graph_specs

OPSET = 20
METADATA = {"model": "small", "note": "two words"}
PAPER: Attention = "relative+subject"


def network(attention: Attention = PAPER) -> MReactor:
    """The model that is exported: one layer, width 16, no part of it zero. Each call a new one."""
    model = random_model(small_config(attention, layers=1))
    generator = torch.Generator().manual_seed(1)
    for standard in (model.reaction, *(model.standard(name) for name in STREAMS)):
        standard.mean.normal_(std=0.3, generator=generator)
        standard.std.uniform_(0.5, 2.0, generator=generator)
    return model


@cache
def _export() -> dict[str, bytes]:
    model = network()
    return {
        f"{name}.onnx": export_graph(model, spec, OPSET, METADATA)
        for name, spec in all_graph_specs(model.config).items()
    }


def exported_files() -> dict[str, bytes]:
    """File name -> ONNX bytes of the paper's kind, those for kernel work too."""
    return dict(_export())


@cache
def exported_graph(name: str, attention: Attention = PAPER) -> bytes:
    """One graph of any kind."""
    if attention == PAPER:
        return _export()[f"{name}.onnx"]
    model = network(attention)
    return export_graph(model, all_graph_specs(model.config)[name], OPSET, METADATA)


def exported_engine() -> OnnxRuntimeEngine:
    config = small_config(PAPER, layers=1)
    models = {name: exported_graph(name) for name in all_graph_specs(config)}
    return OnnxRuntimeEngine(models, config, threads=1)
