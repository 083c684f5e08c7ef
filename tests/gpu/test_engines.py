"""The engines on a CUDA device against the reference on the CPU."""

from dataclasses import replace

import pytest
import torch
from fakes.engines import TwoSubjects, speaker_clip
from fakes.models import random_batch, random_model, small_config

from mreactor_export.parity.figures import compare
from mreactor_export.parity.setup import BOUNDS
from mreactor_ref.emotion.priors import assign
from mreactor_ref.features.encoders import WordsEncoder
from mreactor_runtime.engines.engine import SideBySide
from mreactor_runtime.engines.names import TORCH
from mreactor_runtime.engines.reference import ReferenceEngine
from mreactor_runtime.engines.torch_fused import TorchFusedEngine
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.tensors import ENCODER, example_inputs, graph_specs, sizes

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
    found = TorchFusedEngine(random_model(config), device="cuda").run(ENCODER, on_device)
    for name, value in expected.items():
        assert found[name].is_cuda
        relative = compare(found[name].cpu(), value).relative
        assert relative < BOUND, name


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_reaction_of_the_shipped_model_is_that_of_the_cpu(dtype: str):
    found, expected = (
        Reactor.open("mini", TORCH, device=device, source=TwoSubjects(), dtype=own).generate(
            speaker_clip(200), samples=3
        )
        for device, own in (("cuda", dtype), ("cpu", "fp32"))
    )
    for name in ("attributes", "coefficients"):
        pair = [torch.from_numpy(getattr(one, name)) for one in (found, expected)]
        assert compare(*pair).relative < BOUNDS[dtype].trajectory, name


def test_a_clip_of_mini_has_the_same_bytes_alone_and_in_any_slot():
    reactor = Reactor.open("mini", TORCH, device="cuda", source=TwoSubjects(), dtype="bf16")
    clips = [speaker_clip(170 + i, f"clip {i}", seed=i) for i in range(6)]
    wanted = replace(reactor.sampling, samples=3)
    assert isinstance(reactor.engine, SideBySide)
    assert reactor.engine.slots(wanted.samples, 192) == 4

    def bytes_of(several) -> dict[str, bytes]:
        priors = [assign(clip.utterances, TwoSubjects(), 3, 0, clip.id) for clip in several]
        results = reactor.generate_batch(several, priors, wanted)
        return {one.clip_id: one.coefficients.tobytes() for one in results}

    expected = bytes_of(clips)
    for first in range(1, len(clips)):
        assert bytes_of(clips[first:]) == {clip.id: expected[clip.id] for clip in clips[first:]}


def test_a_recorded_encoder_has_the_bytes_of_the_encoder_as_it_is():
    reactor = Reactor.open("mini", TORCH, device="cuda", source=TwoSubjects())
    spec = graph_specs(reactor.config)[ENCODER]
    for seed, frames in enumerate((256, 768, 256, 256)):
        examples = example_inputs(spec, sizes(1, 3, frames), seed)
        inputs = {name: x.to("cuda") for name, x in examples.items()}
        found = reactor._encoder.run(inputs)
        for name, value in reactor.engine.run(ENCODER, inputs).items():
            assert torch.equal(found[name], value), name
    assert reactor._encoder._recordings is not None
    reactor.free_memory()


def test_words_are_read_on_cuda_as_on_the_cpu():
    said = [["I", "won", "the", "prize"], ["Really?"]]
    found, expected = (WordsEncoder("minilm", device).encode(said) for device in ("cuda", "cpu"))
    for one, other in zip(found, expected, strict=True):
        assert compare(torch.from_numpy(one), torch.from_numpy(other)).relative < BOUND
