"""Clips side by side in the sampler: each with its own priors, and with the bytes it has alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes.cuda_device import RerunStream, stand_in
from fakes.cuda_graph import FakeStream
from fakes.engines import CONFIG, FakeEngine, TwoSubjects, fake_model, speaker_clip, tiny_network

from mreactor_ref.emotion.priors import assign
from mreactor_ref.errors import ClipError
from mreactor_ref.schedule import Solver
from mreactor_ref.signals import REACTION
from mreactor_runtime import sampling
from mreactor_runtime.engines import torch_cuda
from mreactor_runtime.engines.engine import SideBySide
from mreactor_runtime.kernels import gpu_fused, step
from mreactor_runtime.opening import ModelFacts
from mreactor_runtime.reactor import ClipReactions, Reactor
from mreactor_runtime.sampling import Sampler
from mreactor_runtime.sampling_options import Sampling
from mreactor_runtime.tensors import CONDITIONAL, DENOISER, ENCODER, graph_specs

SLOTS = 4
SOLVERS = (Solver("dpmsolver++", steps=3), Solver("ddpm", steps=3, guidance_scale=2.0))
BOTH = ("attributes", "coefficients")


class SlottedEngine(FakeEngine):
    """The fake model, with slots; in one of them it can give what is not finite."""

    def __init__(self, slots: int = SLOTS, broken: int | None = None) -> None:
        super().__init__()
        self._slots, self._broken = slots, broken

    def slots(self, samples: int, length: int) -> int:
        return self._slots

    def denoiser(self, **inputs):
        clean = super().denoiser(**inputs)["clean"]
        if self._broken is not None:
            clean[self._broken] = torch.nan
        return {"clean": clean}


def reactor(engine: FakeEngine) -> Reactor:
    return Reactor(fake_model(), engine, source=TwoSubjects())


def clips(*frames: int):
    return [speaker_clip(count, f"clip {i}", seed=i) for i, count in enumerate(frames)]


def generate(of: Reactor, several, solver: Solver = SOLVERS[0]) -> list[ClipReactions | ClipError]:
    wanted = Sampling(2, 5, 0.5, solver)
    priors = [assign(clip.utterances, TwoSubjects(), 2, 5, clip.id) for clip in several]
    return of.generate_batch(several, priors, wanted)


def assert_same(results, expected) -> None:
    for one, other in zip(results, expected, strict=True):
        assert one.provenance == other.provenance
        assert one.priors == other.priors
        for name in BOTH:
            assert getattr(one, name).tobytes() == getattr(other, name).tobytes()


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: solver.scheduler)
def test_each_clip_has_the_answer_to_its_own_sound_priors_and_noise(solver):
    several = clips(60, 50, 64, 33, 1)  # one more than there are slots
    engine = SlottedEngine()
    results = generate(reactor(engine), several, solver)
    assert_same(results, generate(reactor(FakeEngine()), several, solver))
    graph = CONDITIONAL if solver.guidance_scale == 1 else DENOISER
    assert engine.calls.count((ENCODER, (1, 64, 78))) == 5
    assert engine.calls.count((graph, (SLOTS, 2, 64, REACTION))) == 2 * 3


def test_buckets_do_not_mix_and_results_come_in_the_order_of_the_clips():
    several = clips(60, 100, 30, 100, 64, 500)
    engine = SlottedEngine()
    assert_same(generate(reactor(engine), several), generate(reactor(FakeEngine()), several))
    steps = [shape for graph, shape in engine.calls if graph == CONDITIONAL]
    assert steps == [(SLOTS, 2, length, REACTION) for length in (512, 128, 64) for _ in range(3)]


def test_a_clip_that_does_not_fit_leaves_its_neighbours_as_they_are():
    several = clips(60, 60, 60)
    expected = generate(reactor(FakeEngine()), several)
    several[1] = replace(several[1], fps=30.0)
    first, second, third = generate(reactor(SlottedEngine()), several)
    assert isinstance(second, ClipError)
    assert_same([first, third], expected[::2])


def test_a_slot_whose_result_is_not_finite_leaves_its_neighbours_as_they_are():
    several = clips(60, 60, 60)
    expected = generate(reactor(FakeEngine()), several)
    first, second, third = generate(reactor(SlottedEngine(broken=1)), several)
    assert isinstance(second, ClipError)
    assert "clip 1: the engine's result is not finite" in str(second)
    assert_same([first, third], expected[::2])


def test_all_slots_are_one_recording_that_is_prepared():
    stream = FakeStream()
    recorded = reactor(SlottedEngine())
    recorded._sampler = Sampler(recorded.engine, graph_specs(CONFIG), stream=stream)
    recorded.prepare([60], samples=2, solver=None, steps=3)
    several = clips(60, 50, 64, 33, 1)
    expected = generate(reactor(FakeEngine()), several)
    del stream.calls[:]
    assert_same(generate(recorded, several), expected)
    assert stream.calls == ["replay", "replay"]
    assert_same(generate(recorded, several[1:2]), expected[1:2])


def test_which_engines_have_slots(monkeypatch):
    def engine(device: str, dtype: str, kernels: str | None):
        return torch_cuda.TorchCudaEngine(tiny_network(), dtype, kernels, device)

    assert not isinstance(FakeEngine(), SideBySide)
    on_cpu = engine("cpu", "bf16", None)
    assert isinstance(on_cpu, SideBySide)
    assert on_cpu.slots(10, 64) == 1
    monkeypatch.setattr(torch_cuda, "choose_device", torch.device)
    with stand_in(monkeypatch):
        assert engine("cuda:0", "bf16", torch_cuda.FUSED).slots(10, 64) == 4
        assert engine("cuda:0", "fp32", torch_cuda.EAGER).slots(10, 64) == 1, "a library's products"


def test_nobody_waits_for_the_device_between_the_slots(monkeypatch):
    """And each clip comes to what it is alone; the kernels' own bytes are `test_gpu_fused.py`'s."""
    cuda = stand_in(monkeypatch)
    monkeypatch.setattr(torch_cuda, "choose_device", torch.device)
    monkeypatch.setattr(sampling, "CudaStream", lambda device: RerunStream(cuda.calls))
    for module in (step, gpu_fused):
        monkeypatch.setattr(module, "HAS_TRITON", False)
    network = tiny_network()
    mean, std = network.reaction.mean.clone(), network.reaction.std.clone()
    model = ModelFacts("tiny", "0" * 64, network.config, mean, std, network.listener_shares.numpy())
    several = clips(60, 50, 64, 33, 20)
    with cuda:
        engine = torch_cuda.TorchCudaEngine(network, "bf16", torch_cuda.FUSED, "cuda:0")
        on_device = Reactor(model, engine, source=TwoSubjects())
        generate(on_device, several[:1])  # allocates and records
        del cuda.calls[:], cuda.waits[:]
        results = generate(on_device, several)
        assert cuda.waits == []
        encoded = ["time", "replay", "time"]
        sampled = [*encoded, "event"]
        assert cuda.calls == [*encoded * 5, *sampled * 2, *["waits for event"] * 2]
        for clip, together in zip(several, results, strict=True):
            [alone] = generate(on_device, [clip])
            for name in BOTH:
                np.testing.assert_allclose(
                    getattr(together, name), getattr(alone, name), rtol=0, atol=1e-4
                )
