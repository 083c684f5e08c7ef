"""The encoder, as it is and recorded: the same bytes, one launch a clip, and nothing broken."""

from __future__ import annotations

import pytest
import torch
from fakes.cuda_graph import FakeStream
from fakes.engines import CONFIG, FakeEngine, TwoSubjects, fake_model, speaker_clip
from fakes.models import random_model, small_config
from torch import Tensor

from mreactor_runtime.device_clock import DeviceClock
from mreactor_runtime.encoding import Encoder
from mreactor_runtime.engines.names import ONNX, TORCH
from mreactor_runtime.engines.reference import ReferenceEngine
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.sampling import Sampler
from mreactor_runtime.tensors import ENCODER, example_inputs, graph_specs, sizes

SIZES = small_config()
SPEC = graph_specs(SIZES)[ENCODER]
CPU = torch.device("cpu")
RECORDED = ["turn begins", "turn ends", "wait", "capture"]


class Engine(ReferenceEngine):
    """The reference's encoder under the torch engine's name. `runs` counts its calls."""

    name = TORCH

    def __init__(self) -> None:
        super().__init__(random_model(SIZES))
        self.runs = 0

    def run(self, graph: str, inputs):
        self.runs += 1
        return super().run(graph, inputs)


class Waits(Engine):
    """Reads a number from the device."""

    def run(self, graph: str, inputs):
        assert float(inputs["mask"].sum()) >= 1
        return super().run(graph, inputs)


class Full(Engine):
    """Has no memory."""

    def run(self, graph: str, inputs):
        raise torch.OutOfMemoryError("CUDA out of memory.")


def inputs_of(seed: int, frames: int = 9) -> dict[str, Tensor]:
    return example_inputs(SPEC, sizes(1, 2, frames), seed)


def encoder_of(engine, stream: FakeStream | None) -> Encoder:
    return Encoder(engine, SPEC, stream, DeviceClock(CPU))


def assert_same(outputs: dict[str, Tensor], inputs: dict[str, Tensor]) -> None:
    expected = Engine().run(ENCODER, inputs)
    assert outputs.keys() == expected.keys()
    for name, x in expected.items():
        assert torch.equal(outputs[name], x), name


def test_a_recorded_clip_has_the_bytes_of_the_encoder_as_it_is():
    encoder, kept = encoder_of(Engine(), FakeStream()), []
    for seed, frames in enumerate((9, 9, 5, 12, 9)):
        inputs = inputs_of(seed, frames)
        before = {name: x.clone() for name, x in inputs.items()}
        kept.append((encoder.run(inputs), inputs))
        assert all(torch.equal(inputs[name], x) for name, x in before.items())
    for outputs, inputs in kept:  # no later clip has changed an earlier one's
        assert_same(outputs, inputs)


def test_a_length_seen_before_is_one_launch():
    stream, engine = FakeStream(), Engine()
    encoder = encoder_of(engine, stream)
    for seed in range(3):
        encoder.run(inputs_of(seed))
    assert stream.calls == [*RECORDED, "replay", "replay", "replay"]
    assert engine.runs == 2, "once before the capture, and once in it"


def test_preparing_records_the_longest_first_and_once():
    stream = FakeStream()
    encoder = encoder_of(Engine(), stream)
    lengths = [sizes(1, 2, frames) for frames in (5, 12, 9)]
    encoder.prepare(lengths)
    assert stream.calls == [*RECORDED, "replay"] * 3, "the buffers never grew"
    del stream.calls[:]
    encoder.prepare(lengths)
    for frames in (5, 12, 9):
        inputs = inputs_of(frames, frames)
        assert_same(encoder.run(inputs), inputs)
    assert stream.calls == ["replay"] * 3


def test_an_encoder_that_cannot_be_recorded_runs_as_it_is_from_then_on():
    stream = FakeStream()
    encoder = encoder_of(Waits(), stream)
    first, second = inputs_of(0), inputs_of(1, 12)
    with pytest.warns(RuntimeWarning, match=r"cannot be recorded.*not permitted when stream"):
        assert_same(encoder.run(first), first)
    assert_same(encoder.run(second), second)
    encoder.prepare([sizes(1, 2, 7)])
    assert stream.calls == RECORDED, "it is tried once"


def test_want_of_memory_is_raised_for_those_who_can_make_room():
    stream = FakeStream()
    encoder = encoder_of(Full(), stream)
    for _ in range(2):
        with pytest.raises(torch.OutOfMemoryError):
            encoder.run(inputs_of(0))
        encoder.close()
    assert stream.calls == ["turn begins", "turn begins"]


@pytest.mark.parametrize(("name", "stream"), [(ONNX, FakeStream()), (TORCH, None)])
def test_elsewhere_nothing_is_recorded(name, stream):
    engine = Engine()
    engine.name = name
    encoder, inputs = encoder_of(engine, stream), inputs_of(0)
    encoder.prepare([sizes(1, 2, 9)])
    assert engine.runs == 0
    assert_same(encoder.run(inputs), inputs)
    assert stream is None or stream.calls == []


def test_freeing_memory_frees_the_encoder_and_the_sampler():
    engine, stream = FakeEngine(), FakeStream()
    engine.name = TORCH
    reactor = Reactor(fake_model(), engine, source=TwoSubjects())
    specs = graph_specs(CONFIG)
    reactor._sampler = Sampler(engine, specs, stream)
    reactor._encoder = Encoder(engine, specs[ENCODER], stream, reactor.clock)
    reactor.prepare([30, 100], samples=2, steps=2)
    assert stream.calls.count("capture") == 4
    calls = len(engine.calls)
    expected = Reactor(fake_model(), FakeEngine(), source=TwoSubjects())
    for _ in range(2):
        found = reactor.generate(speaker_clip(30), samples=2, steps=2)
        same = expected.generate(speaker_clip(30), samples=2, steps=2)
        assert found.coefficients.tobytes() == same.coefficients.tobytes()
    assert len(engine.calls) == calls, "nothing was launched operator by operator"
    reactor.free_memory()
    assert stream.calls.count("reset") == 4
