"""The CPU's own denoiser against the reference: values, bytes and what it counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes.models import random_model, small_config
from torch import Tensor

from mreactor_ref.model import MReactor
from mreactor_runtime.engines.reference import ReferenceEngine
from mreactor_runtime.engines.torch_cpu import TorchCpuEngine
from mreactor_runtime.kernels import cpu_denoiser, cpu_pieces
from mreactor_runtime.kernels.cpu_denoiser import CpuDenoiser, gelu_
from mreactor_runtime.tensors import CONDITIONAL, DENOISER, ENCODER, MODULATOR, graph_specs
from mreactor_runtime.tensors import example_inputs as examples

CONFIG = replace(small_config(layers=2), width=32, heads=4)


def network() -> MReactor:
    return random_model(CONFIG)


def step_inputs(clips: int, reactions: int, frames: int, guidance: float | None, seed: int = 0):
    """Inputs of one step, as the reference's encoder makes them."""
    sizes = {"B": clips, "S": reactions, "T": frames, "N": 1}
    specs, engine = graph_specs(CONFIG), ReferenceEngine(network())
    speaker = examples(specs[ENCODER], sizes, seed)
    context = engine.run(ENCODER, speaker)
    modulation = engine.run(MODULATOR, {"timestep": torch.tensor([300])})["modulation"][0]
    graph = CONDITIONAL if guidance is None else DENOISER
    given = examples(specs[graph], sizes, seed + 1) | context | {"modulation": modulation}
    given["mask"] = speaker["mask"]
    if guidance is not None:
        given["guidance"] = torch.tensor(guidance)
    return graph, {tensor.name: given[tensor.name] for tensor in specs[graph].inputs}


def real(clean: Tensor, mask: Tensor) -> Tensor:
    return clean.transpose(1, 2)[mask]


@pytest.mark.parametrize("guidance", [None, 0.0, 1.0, 7.5])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 3, 2), (3, 2, 65), (1, 11, 300), (2, 2, 700)])
def test_a_step_is_the_reference_s_in_every_real_frame(sizes: tuple[int, int, int], guidance):
    graph, inputs = step_inputs(*sizes, guidance)
    expected = ReferenceEngine(network()).run(graph, inputs)["clean"]
    found = TorchCpuEngine(network(), threads=2).run(graph, inputs)["clean"]
    mask = inputs["mask"]
    wanted = real(expected, mask)
    assert (real(found, mask) - wanted).norm() < 1e-5 * wanted.norm()
    assert (real(found, ~mask) == 0).all()


@pytest.mark.parametrize("guidance", [None, 2.0])
@pytest.mark.parametrize("frames", [64, 250, 600])
def test_the_bytes_depend_on_no_other_reaction_batch_or_thread(frames, guidance):
    graph, inputs = step_inputs(2, 7, frames, guidance)
    whole = TorchCpuEngine(network(), threads=2).run(graph, inputs)["clean"]
    axes = {tensor.name: tensor.axes for tensor in graph_specs(CONFIG)[graph].inputs}

    def part(axis: str, index: int) -> dict[str, Tensor]:
        return {
            name: x.narrow(axes[name].index(axis), index, 1) if axis in axes[name] else x
            for name, x in inputs.items()
        }

    for threads in (1, 2, 3, 16):
        engine = TorchCpuEngine(network(), threads=threads)
        assert torch.equal(engine.run(graph, inputs)["clean"], whole)
        assert torch.equal(engine.run(graph, part("B", 1))["clean"], whole[1:])
        assert torch.equal(engine.run(graph, part("S", 4))["clean"], whole[:, 4:5])


@pytest.mark.parametrize("guidance", [None, 2.0])
def test_a_step_in_pieces_is_the_step(monkeypatch, guidance):
    graph, inputs = step_inputs(2, 2, 300, guidance)
    whole = TorchCpuEngine(network(), threads=2).run(graph, inputs)["clean"]
    monkeypatch.setattr(cpu_pieces, "PIECE", 64)
    in_pieces = TorchCpuEngine(network(), threads=2).run(graph, inputs)["clean"]
    torch.testing.assert_close(in_pieces, whole, rtol=1e-5, atol=1e-5)


def test_inputs_and_the_thread_s_own_setting_are_left_alone():
    torch.set_num_threads(2)
    graph, inputs = step_inputs(1, 3, 40, 2.0)
    before = {name: x.clone() for name, x in inputs.items()}
    engine = TorchCpuEngine(network())
    first = engine.run(graph, inputs)["clean"]
    kept = first.clone()
    engine.run(graph, inputs | {"noisy": inputs["noisy"] + 1})
    assert torch.equal(first, kept)  # a later step writes to other memory
    assert all(torch.equal(x, before[name]) for name, x in inputs.items())
    assert torch.get_num_threads() == 2


def test_an_error_inside_a_thread_comes_out():
    graph, inputs = step_inputs(1, 2, 40, None)
    with pytest.raises(RuntimeError):
        TorchCpuEngine(network()).run(graph, inputs | {"keys": inputs["keys"][..., :8]})


@pytest.mark.parametrize(("reactions", "frames"), [(10, 250), (1, 64), (7, 600), (10, 5000)])
@pytest.mark.parametrize("threads", [1, 2, 6])
def test_shares_are_equal_and_there_is_one_for_every_core(reactions, frames, threads):
    shares = CpuDenoiser(network().denoiser, threads)._shares(reactions, frames)
    assert [i for share in shares for i in range(reactions)[share]] == list(range(reactions))
    sizes = {share.stop - share.start for share in shares}
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= max(1, cpu_denoiser.TOKENS // frames)
    assert len(shares) == reactions or len(shares) % threads == 0


def test_only_one_branch_and_no_attention_to_the_dropped_condition(monkeypatch):
    """Calls of the attention a step, of 2 layers."""
    graph, inputs = step_inputs(1, 1, 40, None)
    guided, guided_inputs = step_inputs(1, 1, 40, 2.0)
    engine, rows = TorchCpuEngine(network()), []
    attend = cpu_denoiser.BandedAttention.__call__

    def counting(self, queries, keys, values, out):
        rows.append(len(queries))
        attend(self, queries, keys, values, out)

    monkeypatch.setattr(cpu_denoiser.BandedAttention, "__call__", counting)
    engine.run(graph, inputs)
    assert rows == [1, 1, 1, 1]
    rows.clear()
    engine.run(guided, guided_inputs)
    assert rows == [1, 1, 2, 1]  # the first attention to each other is shared


def test_gelu():
    x = torch.linspace(-9, 9, 4001)
    found = x.clone()
    gelu_(found, torch.empty_like(x))
    expected = torch.nn.functional.gelu(x.double(), approximate="tanh")
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=5e-7)


def test_long_clips_are_correlated_in_blocks(monkeypatch):
    """The encoder's scores of all modalities: 15,000 frames would take 8 GB."""
    speaker = examples(graph_specs(CONFIG)[ENCODER], {"B": 2, "S": 1, "T": 50})
    expected = ReferenceEngine(network()).run(ENCODER, speaker)
    monkeypatch.setattr("mreactor_runtime.engines.torch_fused.CORRELATED", 32)
    found = TorchCpuEngine(network()).run(ENCODER, speaker)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5)
