"""The fused sampler: the reference loop's answer, eager and recorded, and what it keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields

import pytest
import torch
from fakes.cuda_graph import FakeStream
from fakes.models import random_model, small_config
from torch import Tensor

from mreactor_ref.denoiser import Context
from mreactor_ref.model import MReactor
from mreactor_ref.sampler import sample
from mreactor_ref.schedule import SolverTable, solver_table
from mreactor_runtime import sampling
from mreactor_runtime.kernels.gpu_denoiser import branches
from mreactor_runtime.sampling import Sampler
from mreactor_runtime.tensors import CLEAN, CONDITIONAL, DENOISER, example_inputs, graph_specs

CONFIG = small_config(layers=1)
SPECS = graph_specs(CONFIG)
CONTEXT = {field.name for field in fields(Context)}
STEPS = 4


class ReferenceEngine:
    """The reference's own steps. `calls` counts them."""

    name = "torch"
    device = torch.device("cpu")
    keeps_scores = True

    def __init__(self) -> None:
        self.model: MReactor = random_model(CONFIG)
        self.calls: list[str] = []

    def run(self, graph: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        assert set(inputs) == {tensor.name for tensor in SPECS[graph].inputs}
        self.calls.append(graph)
        given = _with_context(inputs)
        step = {CONDITIONAL: self.model.denoiser.conditional, DENOISER: self.model.denoise}[graph]
        return {CLEAN: step(**given)}


class SteppingEngine(ReferenceEngine):
    """The same, but that it leaves guidance to the step, and is asked once a clip."""

    def steps(self, inputs: Mapping[str, Tensor], guided: bool) -> Callable:
        self.calls.append("steps")
        denoiser = self.model.denoiser
        given, null = _with_context(inputs), denoiser.null_outputs()

        def clean_of(noisy: Tensor, modulation: Tensor) -> Tensor:
            if guided:
                return branches(denoiser, null, noisy, modulation, **given)
            return denoiser.conditional(noisy, modulation, **given)

        return clean_of


def _with_context(inputs: Mapping[str, Tensor]) -> dict:
    unused = inputs["style"][:, :, None, :0]
    context = Context(**{name: inputs.get(name, unused) for name in CONTEXT})
    return {**{n: x for n, x in inputs.items() if n not in CONTEXT}, "context": context}


class Clip:
    """Random inputs of a step, and the noise and modulation of a table."""

    def __init__(self, seed: int, frames: int = 9, reactions: int = 2):
        sizes = {"B": 1, "S": reactions, "T": frames, "N": STEPS}
        self.inputs = example_inputs(SPECS[CONDITIONAL], sizes, seed)
        self.start = self.inputs.pop("noisy")
        generator = torch.Generator().manual_seed(seed)
        shape = (STEPS, *self.inputs.pop("modulation").shape)
        self.modulation = 0.3 * torch.randn(shape, generator=generator)
        self.drawn = torch.randn(STEPS, *self.start.shape, generator=generator)

    def noise(self, step: int) -> Tensor:
        return self.drawn[step]

    def run(self, sampler: Sampler, table: SolverTable, guidance: float) -> Tensor:
        return sampler.run(self.inputs, self.start, table, self.modulation, guidance, self.noise)

    def reference(self, table: SolverTable, guidance: float) -> Tensor:
        model = random_model(CONFIG)

        def denoise(x: Tensor, i: int) -> Tensor:
            given = _with_context({**self.inputs, "noisy": x, "modulation": self.modulation[i]})
            if guidance == 1:
                return model.denoiser.conditional(**given)
            return model.denoise(**given, guidance=torch.tensor(guidance))

        return sample(denoise, self.start, table, self.noise)


@pytest.fixture(params=["eager", "recorded"])
def stream(request) -> FakeStream | None:
    return FakeStream() if request.param == "recorded" else None


@pytest.mark.parametrize("scheduler", ["ddim", "dpmsolver++", "ddpm"])
@pytest.mark.parametrize("guidance", [0.0, 1.0, 7.5])
def test_it_gives_the_bytes_of_the_reference_loop(stream, scheduler, guidance):
    table = solver_table(scheduler, STEPS)
    engine = ReferenceEngine()
    sampler = Sampler(engine, SPECS, stream=stream)
    for clip in (Clip(0), Clip(1), Clip(2, frames=5), Clip(0)):
        start = clip.start.clone()
        found = clip.run(sampler, table, guidance)
        assert torch.equal(found, clip.reference(table, guidance))
        assert torch.equal(clip.start, start)
    assert set(engine.calls) == {CONDITIONAL if guidance == 1 else DENOISER}


@pytest.mark.parametrize("guidance", [0.0, 1.0, 7.5])
def test_the_fused_step_guides_where_the_engine_gives_both_branches(stream, guidance):
    engine = SteppingEngine()
    sampler = Sampler(engine, SPECS, stream=stream)
    table = solver_table("dpmsolver++", STEPS)
    for clip in (Clip(0), Clip(1)):
        expected = clip.reference(table, guidance)
        found = clip.run(sampler, table, guidance)
        assert (found - expected).norm() <= 1e-6 * expected.norm()
    assert engine.calls == ["steps", "steps"], "a clip each, or the first run and the capture"


def test_a_clip_is_one_launch():
    stream, engine = FakeStream(), ReferenceEngine()
    sampler, table = Sampler(engine, SPECS, stream=stream), solver_table("ddpm", STEPS)
    for seed in range(3):
        Clip(seed).run(sampler, table, 2.0)
    assert stream.calls == [
        *("turn begins", "turn ends", "wait", "capture"),
        *("replay", "replay", "replay"),
    ]
    assert len(engine.calls) == 2 * STEPS, "once before the capture, and once in it"


def test_the_scale_of_guidance_is_a_number_in_memory():
    stream = FakeStream()
    sampler, table = Sampler(ReferenceEngine(), SPECS, stream=stream), solver_table("ddim", STEPS)
    clip = Clip(0)
    for guidance in (2.0, 7.5, 0.0):
        assert torch.equal(clip.run(sampler, table, guidance), clip.reference(table, guidance))
    assert stream.calls.count("capture") == 1


def test_a_result_is_not_changed_by_the_next_clip(stream):
    sampler, table = Sampler(ReferenceEngine(), SPECS, stream=stream), solver_table("ddim", STEPS)
    first = Clip(0).run(sampler, table, 1.0)
    kept = first.clone()
    Clip(1).run(sampler, table, 1.0)
    assert torch.equal(first, kept)


def test_the_one_unused_for_longest_is_released():
    stream = FakeStream()
    sampler = Sampler(ReferenceEngine(), SPECS, stream=stream, kept=2)
    table = solver_table("ddim", STEPS)
    for frames in (9, 7, 9, 5):
        Clip(0, frames).run(sampler, table, 1.0)
    assert stream.calls.count("reset") == 1
    del stream.calls[:]
    Clip(1, frames=9).run(sampler, table, 1.0)
    assert stream.calls == ["replay"]
    Clip(1, frames=7).run(sampler, table, 1.0)
    assert stream.calls.count("capture") == 1


def test_a_larger_clip_ends_what_holds_the_addresses_of_smaller_buffers():
    stream = FakeStream()
    sampler, table = Sampler(ReferenceEngine(), SPECS, stream=stream), solver_table("ddpm", STEPS)
    for frames in (5, 9, 5):
        clip = Clip(0, frames)
        assert torch.equal(clip.run(sampler, table, 2.0), clip.reference(table, 2.0))
    assert stream.calls.count("capture") == 3
    assert stream.calls.count("reset") == 1
    assert stream.calls.index("reset") < stream.calls.index("capture", 5)


def test_preparing_records_the_largest_first_and_once():
    stream, engine = FakeStream(), ReferenceEngine()
    sampler, table = Sampler(engine, SPECS, stream=stream), solver_table("ddpm", STEPS)
    sizes = [{"B": 1, "S": 2, "T": frames} for frames in (5, 9, 7)]
    sampler.prepare(sizes, table, guidance=2.0)
    assert stream.calls.count("capture") == 3
    assert "reset" not in stream.calls, "the largest came first, so the buffers never grew"
    del stream.calls[:]
    sampler.prepare(sizes[1:], table, guidance=7.5)
    assert stream.calls == [], "they are there"
    for frames in (5, 9, 7):
        clip = Clip(0, frames)
        assert torch.equal(clip.run(sampler, table, 3.0), clip.reference(table, 3.0))
    assert stream.calls == ["replay"] * 3


def test_preparing_does_nothing_where_nothing_is_recorded():
    engine = ReferenceEngine()
    Sampler(engine, SPECS).prepare([{"B": 1, "S": 1, "T": 5}], solver_table("ddim", STEPS))
    assert engine.calls == []


def test_tables_with_too_much_noise_to_lay_out_run_as_they_are(monkeypatch):
    clip, table = Clip(0), solver_table("ddpm", STEPS)
    monkeypatch.setattr(sampling, "MOST_NOISE_BYTES", clip.drawn[0].nbytes)
    stream = FakeStream()
    sampler = Sampler(ReferenceEngine(), SPECS, stream=stream)
    assert torch.equal(clip.run(sampler, table, 2.0), clip.reference(table, 2.0))
    sampler.prepare([{"B": 1, "S": 2, "T": 9}], table, guidance=2.0)
    assert stream.calls == [], "nor prepared"


def test_closing_releases_all_and_it_can_be_used_again():
    stream, table = FakeStream(), solver_table("ddim", STEPS)
    sampler = Sampler(ReferenceEngine(), SPECS, stream=stream)
    for frames in (9, 5):
        Clip(0, frames).run(sampler, table, 1.0)
    sampler.close()
    assert stream.calls.count("reset") == 2
    clip = Clip(0)
    assert torch.equal(clip.run(sampler, table, 1.0), clip.reference(table, 1.0))


def test_a_table_that_adds_noise_wants_some(stream):
    clip, sampler = Clip(0), Sampler(ReferenceEngine(), SPECS, stream=stream)
    table = solver_table("ddpm", STEPS)
    with pytest.raises(ValueError, match="adds noise"):
        sampler.run(clip.inputs, clip.start, table, clip.modulation)


@pytest.mark.parametrize("place", ["cpu", "cuda"])
@pytest.mark.parametrize(
    ("name", "recordable"),
    [("torch", True), ("tensorrt", True), ("tensorrt-rtx", True), ("onnx", False)],
)
def test_what_is_recorded(monkeypatch, place, name, recordable):
    monkeypatch.setattr(sampling, "CudaStream", lambda device: FakeStream())
    engine = ReferenceEngine()
    engine.name, engine.device = name, torch.device(place)
    recorded = Sampler(engine, SPECS).stream is not None
    assert recorded == (recordable and place == "cuda")
