"""The torch engine for a GPU, on the CPU: each graph, and a whole loop, against the reference."""

from __future__ import annotations

import pytest
import torch
from fakes.models import random_model, small_config

from mreactor_ref.config import ATTENTIONS
from mreactor_ref.errors import UsageError
from mreactor_ref.perception import TemporalCorrelation
from mreactor_ref.schedule import solver_table
from mreactor_runtime.engines.reference import CORRELATED, ReferenceEngine
from mreactor_runtime.engines.torch_cuda import COMPILED, EAGER, FUSED, TorchCudaEngine
from mreactor_runtime.sampling import Sampler, Stepping
from mreactor_runtime.tensors import (
    CONDITIONAL,
    DENOISER,
    ENCODER,
    GUIDANCE,
    MASK,
    MODULATOR,
    example_inputs,
    graph_specs,
)

SIZES = {"B": 2, "S": 3, "T": 20, "N": 4}
SCALE = 2.0  # of guidance, which multiplies the rounding of both branches
BOUNDS = {"fp32": 1e-6, "fp16": 1e-3, "bf16": 8e-3}  # relative L2 of a step at this scale
TRAJECTORY = {"fp32": 1e-5, "bf16": 2e-2}


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.float() - expected).norm() / expected.norm())


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("kind", ATTENTIONS)
def test_each_graph_is_the_references(kind, dtype):
    config = small_config(kind)
    engine = TorchCudaEngine(random_model(config), dtype, EAGER, device="cpu")
    reference = ReferenceEngine(random_model(config))
    for name, spec in graph_specs(config).items():
        inputs = example_inputs(spec, SIZES)
        if GUIDANCE in inputs:
            inputs[GUIDANCE] = torch.tensor(SCALE)
        expected, found = reference.run(name, inputs), engine.run(name, inputs)
        assert found.keys() == expected.keys()
        for output, value in expected.items():
            assert found[output].dtype == torch.float32
            if name in (CONDITIONAL, DENOISER):
                assert error(found[output], value) < BOUNDS[dtype], (name, output)
            else:
                assert torch.equal(found[output], value), "in float32, as it was"


@pytest.mark.parametrize("dtype", TRAJECTORY)
@pytest.mark.parametrize("guidance", [1.0, SCALE])
@pytest.mark.parametrize("kernels", [EAGER, FUSED])
def test_a_whole_loop_stays_near_the_references(kernels, dtype, guidance):
    if (kernels, dtype) == (FUSED, "fp32"):
        pytest.skip("float32 is left to the library's products")
    config = small_config()
    specs, table = graph_specs(config), solver_table("dpmsolver++", 10)
    engine = TorchCudaEngine(random_model(config), dtype, kernels, device="cpu")
    assert isinstance(engine, Stepping)
    inputs = example_inputs(specs[CONDITIONAL], SIZES)
    timestep = {"timestep": torch.tensor(table.timesteps)}
    modulation = engine.run(MODULATOR, timestep)["modulation"]
    given = (inputs, inputs["noisy"], table, modulation, guidance)
    found = Sampler(engine, specs).run(*given)
    expected = Sampler(ReferenceEngine(random_model(config)), specs).run(*given)
    real = inputs[MASK][:, None, :, None]  # what padded frames become means nothing
    assert error(found * real, expected * real) < TRAJECTORY[dtype]


def test_a_long_clip_never_has_all_its_scores_at_once(monkeypatch):
    seen: list[int] = []
    received = TemporalCorrelation._received

    def counted(queries, *others):
        seen.append(queries.shape[1])
        return received(queries, *others)

    monkeypatch.setattr(TemporalCorrelation, "_received", staticmethod(counted))
    config, frames = small_config(), CORRELATED + 100
    engine = TorchCudaEngine(random_model(config), "bf16", EAGER, device="cpu")
    inputs = example_inputs(graph_specs(config)[ENCODER], {"B": 1, "S": 1, "T": frames})
    engine.run(ENCODER, inputs)
    assert seen == [CORRELATED, 100] * 3  # of each modality


def test_an_unknown_type_is_refused():
    with pytest.raises(UsageError, match="fp8"):
        TorchCudaEngine(random_model(small_config()), "fp8", device="cpu")


def test_the_fused_kernels_are_taken_where_they_fit():
    def of(kind: str, dtype: str) -> str:
        return TorchCudaEngine(random_model(small_config(kind)), dtype, device="cpu").kernels

    assert of("relative+subject", "bf16") == of("relative+subject", "fp16") == FUSED
    assert of("relative+subject", "fp32") == of("self+cross", "bf16") == COMPILED
    with pytest.raises(UsageError, match="no fused kernels"):
        TorchCudaEngine(random_model(small_config("self")), "bf16", FUSED, device="cpu")
