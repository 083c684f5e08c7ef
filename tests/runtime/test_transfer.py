"""Copies to and from a device, and a whole batch of clips: nobody waits before all is queued."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fakes.cuda_device import CUDA, FakeCuda, OnCuda, RerunStream, stand_in
from fakes.engines import TwoSubjects, speaker_clip, tiny_network

from mreactor_ref.emotion.priors import assign
from mreactor_ref.schedule import Solver
from mreactor_runtime import sampling
from mreactor_runtime.engines import torch_cuda
from mreactor_runtime.kernels import step
from mreactor_runtime.opening import ModelFacts
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.sampling_options import Sampling
from mreactor_runtime.transfer import HostCopy, to_device

SOLVERS = (Solver("dpmsolver++", steps=3), Solver("ddpm", steps=3, guidance_scale=2.0))


@pytest.fixture
def cuda(monkeypatch) -> FakeCuda:
    made = stand_in(monkeypatch)
    monkeypatch.setattr(torch_cuda, "choose_device", torch.device)
    monkeypatch.setattr(sampling, "CudaStream", lambda device: RerunStream(made.calls))
    monkeypatch.setattr(step, "HAS_TRITON", False)
    return made


def reactor(device: str) -> Reactor:
    network = tiny_network()
    mean, std = network.reaction.mean.clone(), network.reaction.std.clone()
    model = ModelFacts("tiny", "0" * 64, network.config, mean, std, network.listener_shares.numpy())
    engine = torch_cuda.TorchCudaEngine(network, "fp32", device=device, kernels=torch_cuda.EAGER)
    return Reactor(model, engine, source=TwoSubjects())


def test_the_stand_in_notes_each_way_to_wait(cuda):
    x = torch.ones(3)
    with cuda:
        on_device = x.to(CUDA)
        x.to(CUDA, non_blocking=True)  # its memory is not pinned
        on_device.cpu()
        bool(on_device.isfinite().all())
        torch.ones(3).copy_(on_device, non_blocking=True)
        assert len(cuda.waits) == 5
        x.pin_memory().to(CUDA, non_blocking=True).add_(on_device).clone()
        torch.ones(3, pin_memory=True).copy_(on_device, non_blocking=True)
        torch.zeros(2, device=CUDA).fill_(1)
    assert len(cuda.waits) == 5


def test_copies_are_queued_and_the_result_is_waited_for_when_it_is_needed(cuda):
    with cuda:
        x = to_device(torch.arange(3.0), CUDA)
        assert isinstance(x, OnCuda)
        copy = HostCopy(x * 2)
        assert cuda.calls == ["event"]
        assert copy.wait().tolist() == [0, 2, 4]
    assert cuda.calls == ["event", "waits for event"]
    assert cuda.waits == []


def test_on_the_host_nothing_is_copied():
    x = torch.ones(3)
    assert to_device(x, x.device) is x
    assert HostCopy(x).wait() is x


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: solver.scheduler)
def test_a_batch_is_queued_whole_before_the_first_clip_is_waited_for(cuda, solver):
    """Nor is any copy waited for; and what comes out is what the same engine gives on the CPU."""
    clips = [speaker_clip(60, f"clip {seed}", seed) for seed in range(3)]
    wanted = Sampling(2, 5, 0.0, solver)
    priors = [assign(clip.utterances, TwoSubjects(), 2, 5, clip.id) for clip in clips]
    expected = reactor("cpu").generate_batch(clips, priors, wanted)
    with cuda:
        on_device = reactor("cuda:0")
        on_device.generate_batch(clips[:1], priors[:1], wanted)  # allocates and records
        del cuda.calls[:], cuda.waits[:]
        found = on_device.generate_batch(clips, priors, wanted)
    assert cuda.waits == []
    encoded = ["time", "replay", "time"]
    sampled = [*encoded, "event"]
    assert cuda.calls == [*encoded * 3, *sampled * 3, *["waits for event"] * 3]
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one.attributes, other.attributes)
        assert np.array_equal(one.coefficients, other.coefficients)
