"""The engines on a CUDA device against the reference on the CPU."""

import pytest
import torch
from models import random_batch, random_model, small_config

from mreactor_export.parity.figures import compare
from mreactor_runtime.engines.torch_engine import ReferenceEngine, TorchEngine
from mreactor_runtime.tensors import ENCODER

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]

BOUND = 1e-5  # relative L2, fp32 without TF32, which is PyTorch's default for matrix products


def test_the_torch_engine_computes_on_cuda_what_it_computes_on_the_cpu():
    config = small_config()
    inputs = vars(random_batch(config))
    expected = ReferenceEngine(random_model(config)).run(ENCODER, inputs)
    on_device = {name: x.to("cuda") for name, x in inputs.items()}
    found = TorchEngine(random_model(config), device="cuda").run(ENCODER, on_device)
    for name, value in expected.items():
        assert found[name].is_cuda
        relative = compare(found[name].cpu(), value).relative
        assert relative < BOUND, name
