import dataclasses
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes.cuda_graph import FakeStream
from fakes.engines import (
    CONFIG,
    LAST_TIMESTEP_OF_4,
    UTTERANCES,
    FakeEngine,
    TwoSubjects,
    bundle_info,
    fake_model,
    onnx_files,
    speaker_clip,
    tiny_network,
)

from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.checkpoint import save_checkpoint
from mreactor_ref.emotion.priors import Prior, assign, frame_priors
from mreactor_ref.errors import ClipError, IntegrityError, UsageError
from mreactor_ref.files import sha256_of
from mreactor_ref.listeners import draw_codes
from mreactor_ref.model import Batch, to_reaction
from mreactor_ref.noise import INITIAL, reaction_noise
from mreactor_ref.sampler import sample
from mreactor_ref.schedule import Solver, solver_table
from mreactor_ref.signals import AROUSAL, COEFFICIENTS, REACTION, STREAMS
from mreactor_runtime import opening
from mreactor_runtime.batching import SCORE_BYTES
from mreactor_runtime.bundle import bundle_for, write_bundle
from mreactor_runtime.engines.names import CPU, ONNX, TORCH
from mreactor_runtime.engines.onnxruntime_engine import OnnxRuntimeEngine
from mreactor_runtime.engines.torch_cpu import TorchCpuEngine
from mreactor_runtime.opening import ModelFacts
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.sampling import Sampler
from mreactor_runtime.sampling_options import Sampling
from mreactor_runtime.tensors import CONDITIONAL, MODULATOR, graph_specs


def fake_reactor(engine=None) -> Reactor:
    return Reactor(fake_model(), engine or FakeEngine(), source=TwoSubjects())


def onnx_engine() -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(
        {name.removesuffix(".onnx"): content for name, content in onnx_files().items()}, CONFIG
    )


def tiny_reactor() -> Reactor:
    network = tiny_network()
    mean, std = network.reaction.mean.clone(), network.reaction.std.clone()
    shares = network.listener_shares.numpy().copy()
    model = ModelFacts("tiny", "0" * 64, network.config, mean, std, shares)
    return Reactor(model, TorchCpuEngine(network), source=TwoSubjects())


def expected_coefficients(reactions, clip, guidance: float, smoothness: float) -> np.ndarray:
    """What the fake model's answer is, worked out from the priors that were returned, (S, T)."""
    starts = [utterance.start for utterance in clip.utterances]
    time = np.arange(clip.frames) / clip.fps
    spoken = np.searchsorted(starts, time + 1e-9, side="right") - 1
    polarity = np.array([[row[u].polarity for u in spoken] for row in reactions.priors])
    step = LAST_TIMESTEP_OF_4 / 1000
    return guidance * (polarity + clip.sound[:, 0] + smoothness + step)


@pytest.mark.parametrize("make_engine", [FakeEngine, onnx_engine], ids=["python", "onnx"])
@pytest.mark.parametrize(("frames", "samples"), [(1, 1), (60, 10), (64, 3), (1100, 12)])
def test_the_known_answer_comes_out_whole(make_engine, frames, samples):
    """Padding, groups of reactions, priors, solver and options: all show in the fake's answer."""
    clip = speaker_clip(frames)
    reactions = fake_reactor(make_engine()).generate(
        clip, samples=samples, scheduler="ddim", steps=4, guidance_scale=1.5, smoothness=0.5
    )
    assert reactions.attributes.shape == (samples, frames, 25)
    assert reactions.coefficients.shape == (samples, frames, COEFFICIENTS)
    assert reactions.attributes.dtype == reactions.coefficients.dtype == np.float32
    assert reactions.clip_id == clip.id
    expected = expected_coefficients(reactions, clip, guidance=1.5, smoothness=0.5)
    for channel in (0, COEFFICIENTS - 1):
        np.testing.assert_allclose(
            reactions.coefficients[..., channel], expected, rtol=1e-5, atol=1e-5
        )
    np.testing.assert_allclose(
        reactions.attributes[..., AROUSAL], expected.clip(-1, 1), rtol=1e-5, atol=1e-5
    )
    subjects = {row[0].subject for row in reactions.priors}
    assert subjects == ({"first", "second"} if samples > 1 else subjects)


def test_shapes_come_from_the_bucket_and_work_is_done_once():
    engine = FakeEngine()
    reactor = fake_reactor(engine)
    clip = speaker_clip(1100)
    reactor.generate(clip, samples=17, steps=4)
    length = 1152
    size = SCORE_BYTES // (CONFIG.heads * length**2 * 4)
    assert size == 12
    assert engine.calls == [
        ("modulator", (4,)),
        ("encoder", (1, length, 78)),
        *[("conditional", (1, size, length, REACTION))] * 4,
        *[("conditional", (1, 17 - size, length, REACTION))] * 4,
    ]
    engine.calls.clear()
    reactor.generate(speaker_clip(64), samples=2, steps=4)
    assert engine.calls[0] == ("encoder", (1, 64, 78))  # the table's modulation is kept
    engine.calls.clear()
    reactor.generate(speaker_clip(64), samples=2, steps=5)
    assert engine.calls[0] == ("modulator", (5,))
    engine.calls.clear()
    reactor.generate(speaker_clip(64), samples=2, steps=5, guidance_scale=2)
    assert engine.calls[1:] == [("denoiser", (1, 2, 64, REACTION))] * 5


def test_a_real_model_gives_what_the_reference_gives_without_padding_or_groups():
    """The written-out attention of the reference, at the clip's own length, step by step."""
    clip, samples, seed = speaker_clip(90), 3, 11
    solver = Solver("ddpm", steps=6, guidance_scale=1.7)
    found = tiny_reactor().generate(clip, Sampling(samples, seed, -1.0, solver))
    network = tiny_network()
    shares = network.listener_shares.numpy()
    priors = assign(clip.utterances, TwoSubjects(), samples, seed, clip.id)
    emotion, affect = frame_priors(priors, clip.utterances, clip.frames, clip.fps)
    batch = Batch(
        sound=torch.tensor(clip.sound)[None],
        words=torch.full((1, 90, network.config.words), 9.0),  # absent: its values must not matter
        coefficients=torch.full((1, 90, COEFFICIENTS), -9.0),
        attributes=torch.tensor(clip.attributes)[None],
        present=torch.tensor([[float(name in ("sound", "attributes")) for name in STREAMS]]),
        mask=torch.ones(1, 90, dtype=torch.bool),
        emotion=torch.tensor(emotion)[None],
        affect=torch.tensor(affect)[None],
        smoothness=torch.full((1, samples), -1.0),
        listener=torch.tensor(draw_codes(seed, clip.id, range(samples), shares))[None],
    )
    table = solver_table("ddpm", 6, timestep_spacing="logsnr")

    def noise(step: int) -> torch.Tensor:
        drawn = reaction_noise(seed, [clip.id], range(samples), step, 90, REACTION)
        return torch.from_numpy(drawn)

    with torch.no_grad():
        context = network.encode(batch)
        modulation = network.modulate(torch.tensor(table.timesteps))
        clean = sample(
            lambda x, i: network.denoise(x, modulation[i], context, batch.mask, torch.tensor(1.7)),
            noise(INITIAL),
            table,
            noise,
        )
        natural = to_reaction(clean, network.reaction.mean, network.reaction.std)[0].numpy()
    assert np.ptp(natural[..., 25:], axis=1).min() > 0.01  # it moves: the test sees something
    np.testing.assert_allclose(found.attributes, natural[..., :25], atol=2e-4)
    np.testing.assert_allclose(found.coefficients, natural[..., 25:], atol=2e-4)
    assert found.priors == priors


def test_the_same_call_gives_the_same_bytes_whatever_ran_before():
    reactor, clip = tiny_reactor(), speaker_clip(70)
    first = reactor.generate(clip, samples=4, steps=3)
    reactor.generate(speaker_clip(200, "other", seed=5), samples=7, steps=3)
    again = reactor.generate(clip, samples=4, steps=3)
    fresh = tiny_reactor().generate(clip, samples=4, steps=3)
    for name in ("attributes", "coefficients"):
        expected = getattr(first, name).tobytes()
        assert getattr(again, name).tobytes() == getattr(fresh, name).tobytes() == expected


def test_reactions_differ_from_each_other_and_with_seed_and_clip():
    reactor = tiny_reactor()
    base = reactor.generate(speaker_clip(70), samples=3, steps=3).coefficients
    seeded = reactor.generate(speaker_clip(70), samples=3, steps=3, seed=1).coefficients
    renamed = reactor.generate(speaker_clip(70, "two"), samples=3, steps=3).coefficients
    for other in (base[1], seeded[0], renamed[0]):
        assert np.abs(base[0] - other).max() > 0.01
    more = reactor.generate(speaker_clip(70), samples=5, steps=3)
    np.testing.assert_allclose(more.coefficients[:3], base, atol=1e-4)


def test_results_are_in_their_ranges():
    attributes = tiny_reactor().generate(speaker_clip(70), samples=3, steps=3).attributes
    assert attributes[..., :15].min() >= 0
    assert attributes[..., :15].max() <= 1
    assert np.abs(attributes[..., 15:17]).max() <= 1
    np.testing.assert_allclose(attributes[..., 17:].sum(axis=-1), 1, atol=1e-5)


def test_a_clip_of_nothing_but_length_gets_reactions():
    clip = dataclasses.replace(speaker_clip(30), sound=None, attributes=None, utterances=())
    reactions = tiny_reactor().generate(clip, samples=2, steps=2)
    assert np.isfinite(reactions.attributes).all()
    assert reactions.priors == ((), ())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fps": 30.0}, "one/clip: has 30 frames a second, the model 25"),
        ({"sound": np.zeros((60, 13), np.float32)}, r"sound has shape \(60, 13\), not \(60, 78\)"),
        ({"attributes": np.zeros((59, 25), np.float32)}, "attributes has shape"),
        ({"sound": np.full((60, 78), np.nan, np.float32)}, "sound has values that are not finite"),
    ],
)
def test_a_clip_that_does_not_fit_the_model_is_named(change, message):
    with pytest.raises(ClipError, match=message):
        fake_reactor().generate(dataclasses.replace(speaker_clip(60), **change))


def test_a_result_that_is_not_finite_is_an_error():
    engine = FakeEngine()
    engine.denoiser = lambda noisy, **_: {"clean": torch.full_like(noisy, float("inf"))}
    with pytest.raises(ClipError, match="one/clip: the engine's result is not finite"):
        fake_reactor(engine).generate(speaker_clip(60), steps=2)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"samples": 0}, "samples is 0"),
        ({"steps": 0}, "steps is 0, not 1 to 1000"),
        ({"steps": 1001}, "steps is 1001"),
        ({"scheduler": "magic"}, "scheduler is 'magic', not one of ddpm"),
    ],
)
def test_an_option_out_of_range_is_a_usage_error(option, message):
    with pytest.raises(UsageError, match=message):
        fake_reactor().generate(speaker_clip(60), **option)


def test_an_option_that_does_not_exist_is_named():
    reactor = fake_reactor()
    for call in (reactor.generate, lambda clip, **options: reactor.prepare([60], **options)):
        with pytest.raises(TypeError, match="stpes"):
            call(speaker_clip(60), stpes=5)
    assert reactor.engine.calls == []


def test_options_are_checked_before_the_source_is_asked():
    class Unasked(TwoSubjects):
        def priors(self, utterances):
            raise AssertionError("asked")

    with pytest.raises(UsageError, match="steps is 0"):
        Reactor(fake_model(), FakeEngine(), Unasked()).generate(speaker_clip(60), steps=0)


def test_the_models_own_solver_is_the_default_option_by_option():
    defaults = Solver("ddim", 4, 0.5, "trailing")
    reactor = Reactor(replace(fake_model(), defaults=defaults), FakeEngine(), TwoSubjects())
    assert reactor.sampling == Sampling(10, 0, 0.0, defaults)
    reactor.generate(speaker_clip(20))
    assert reactor.engine.calls[0] == ("modulator", (4,))
    assert reactor.engine.calls[2:] == [("denoiser", (1, 10, 64, REACTION))] * 4
    reactor.engine.calls.clear()
    reactor.generate(speaker_clip(20), steps=3, samples=None, guidance_scale=None)
    assert reactor.engine.calls[2:] == [("denoiser", (1, 10, 64, REACTION))] * 3
    reactor.engine.calls.clear()
    reactor.generate(speaker_clip(20), Sampling(2, solver=Solver(steps=2)), samples=1)
    assert reactor.engine.calls[2:] == [("conditional", (1, 1, 64, REACTION))] * 2


def test_what_open_is_told_takes_the_place_of_the_bundles_defaults(tmp_path):
    defaults = Solver("ddim", 7, 1.5)
    info = replace(bundle_info(), defaults=defaults)
    write_bundle(tmp_path / "bundle", info, onnx_files())
    assert Reactor.open(tmp_path / "bundle").sampling == Sampling(solver=defaults)
    told = Reactor.open(tmp_path / "bundle", samples=2, steps=3, scheduler=None)
    assert told.sampling == Sampling(2, solver=Solver("ddim", 3, 1.5))
    assert told.model.defaults == defaults
    with pytest.raises(TypeError, match="stpes"):
        Reactor.open(tmp_path / "bundle", stpes=3)


def test_priors_are_given_with_the_clips():
    """The fake's answer has the polarity of the prior in it; nobody asks the reactor's source."""
    reactor, clips = fake_reactor(), [speaker_clip(20), speaker_clip(30, "two")]
    reactor.source = None
    sampling = Sampling(2, solver=Solver(steps=1))
    priors = [
        tuple(
            (Prior("given", "joy", polarity, 0.5),) * len(clips[0].utterances) for polarity in row
        )
        for row in ((-0.5, 0.0), (0.25, 0.5))
    ]
    first, second = reactor.generate_batch(clips, priors, sampling)
    for reactions, clip in ((first, clips[0]), (second, clips[1])):
        expected = (
            expected_coefficients(reactions, clip, 1.0, 0.0) + (999 - LAST_TIMESTEP_OF_4) / 1000
        )
        np.testing.assert_allclose(reactions.coefficients[..., 0], expected, atol=1e-5)
    assert [first.priors, second.priors] == priors
    with pytest.raises(ValueError, match="zip"):
        reactor.generate_batch(clips, priors[:1], sampling)


# Opening by name, checkpoint and bundle.


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(tiny_network(), path)
    return path


def test_a_checkpoint_runs_on_torch_and_says_how_to_export(checkpoint):
    reactor = Reactor.open(checkpoint, source=TwoSubjects())
    assert reactor.engine.name == TORCH
    assert reactor.model.sha256 == sha256_of(checkpoint)
    [note] = reactor.notes
    assert f"mreactor-export --model {checkpoint}" in note
    found = reactor.generate(speaker_clip(30), samples=2, steps=2)
    expected = tiny_reactor().generate(speaker_clip(30), samples=2, steps=2)
    np.testing.assert_array_equal(found.coefficients, expected.coefficients)
    assert Reactor.open(checkpoint, engine=TORCH).notes == ()


def test_a_bundle_runs_on_onnx_runtime(tmp_path):
    write_bundle(tmp_path / "bundle", bundle_info("ab" * 32), onnx_files())
    reactor = Reactor.open(tmp_path / "bundle", threads=1)
    assert (reactor.engine.name, reactor.model.sha256) == (ONNX, "ab" * 32)
    reactor = Reactor(reactor.model, reactor.engine, source=TwoSubjects())
    clip = speaker_clip(60)
    found = reactor.generate(clip, samples=3, steps=4, guidance_scale=1.0)
    expected = expected_coefficients(found, clip, guidance=1.0, smoothness=0.0)
    np.testing.assert_allclose(found.coefficients[..., 0], expected, atol=1e-5)
    with pytest.raises(UsageError, match="no checkpoint for the torch engine"):
        Reactor.open(tmp_path / "bundle", engine=TORCH)


def test_a_checkpoints_bundle_is_found_in_the_cache(checkpoint, monkeypatch):
    with pytest.raises(UsageError, match=r"no export yet \(mreactor-export --model"):
        Reactor.open(checkpoint, engine=ONNX)
    sha256 = sha256_of(checkpoint)
    write_bundle(bundle_for(sha256), bundle_info(sha256), onnx_files())
    assert Reactor.open(checkpoint, engine=ONNX).engine.name == ONNX
    for preferred in ((ONNX, TORCH), (TORCH, ONNX)):
        monkeypatch.setitem(opening.PREFERENCE, CPU, preferred)
        reactor = Reactor.open(checkpoint, device=CPU)
        assert (reactor.engine.name, reactor.notes) == (preferred[0], ())
    write_bundle(bundle_for(sha256), bundle_info("f" * 64), onnx_files())
    with pytest.raises(IntegrityError, match="of another checkpoint"):
        Reactor.open(checkpoint, engine=ONNX)


def test_a_missing_onnxruntime_says_what_to_install(tmp_path, checkpoint, monkeypatch):
    write_bundle(tmp_path / "bundle", bundle_info(), onnx_files())
    sha256 = sha256_of(checkpoint)
    write_bundle(bundle_for(sha256), bundle_info(sha256), onnx_files())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(opening.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'pip install "mreactor\[onnxruntime\]"'):
        Reactor.open(tmp_path / "bundle")
    monkeypatch.setitem(opening.PREFERENCE, CPU, (ONNX, TORCH))
    assert Reactor.open(checkpoint, device=CPU).engine.name == TORCH


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "no-such-model"}, "no model 'no-such-model'"),
        ({"engine": "magic"}, "engine is 'magic', not one of auto, torch, onnx"),
        ({"device": "tpu"}, "device is 'tpu', not one of auto, cpu, cuda"),
    ],
)
def test_what_cannot_be_opened_is_a_usage_error(checkpoint, options, message):
    with pytest.raises(UsageError, match=message):
        Reactor.open(**{"model": checkpoint, **options})


def test_a_folder_that_is_no_bundle_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"no bundle: it has no bundle\.json"):
        Reactor.open(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("engine", [TORCH, ONNX])
def test_cuda_where_there_is_none_is_a_usage_error(checkpoint, engine):
    sha256 = sha256_of(checkpoint)
    write_bundle(bundle_for(sha256), bundle_info(sha256), onnx_files())
    with pytest.raises(UsageError, match=r"no CUDA device.*--device cpu"):
        Reactor.open(checkpoint, engine=engine, device="cuda")


def test_onnx_graphs_that_are_not_the_tables_are_refused():
    files = {name.removesuffix(".onnx"): content for name, content in onnx_files().items()}
    with pytest.raises(IntegrityError, match="the inputs of the encoder are"):
        OnnxRuntimeEngine(files | {"encoder": files["modulator"]}, CONFIG)
    with pytest.raises(IntegrityError, match="cannot open the denoiser"):
        OnnxRuntimeEngine(files | {"denoiser": b"not an onnx file"}, CONFIG)


def test_onnx_takes_views_that_are_not_contiguous():
    engine = onnx_engine()
    timestep = torch.arange(10)[::2]
    found = engine.run("modulator", {"timestep": timestep})["modulation"]
    np.testing.assert_allclose(found[:, 0, 0], [0, 0.002, 0.004, 0.006, 0.008])


def test_the_utterances_of_the_fakes_have_two_polarities():
    """Else the known answer would not show which reaction has which prior, and when."""
    said = TwoSubjects().priors([utterance.text for utterance in UTTERANCES])
    values = {prior.polarity for priors in said for prior in priors}
    assert len(values) == 4


def test_what_is_prepared_is_recorded_once_longest_first_and_can_be_let_go():
    stream, recorded = FakeStream(), fake_reactor()
    recorded._sampler = Sampler(recorded.engine, graph_specs(CONFIG), stream=stream)
    recorded.prepare([30, 100, 60], samples=2, steps=4)
    assert stream.calls.count("capture") == 2  # 30 and 60 frames have one bucket
    frames = [shape[2] for graph, shape in recorded.engine.calls if graph == CONDITIONAL]
    assert frames == sorted(frames, reverse=True)
    for clip in (speaker_clip(30), speaker_clip(100)):
        found = recorded.generate(clip, samples=2, steps=4)
        expected = fake_reactor().generate(clip, samples=2, steps=4)
        np.testing.assert_array_equal(found.coefficients, expected.coefficients)
    assert stream.calls.count("capture") == 2
    recorded.free_memory()
    assert stream.calls.count("reset") == 2


def test_preparing_on_a_cpu_does_nothing_but_look_at_the_options():
    reactor = fake_reactor()
    reactor.prepare([30, 100])
    assert {graph for graph, _ in reactor.engine.calls} == {MODULATOR}
    with pytest.raises(UsageError, match="steps"):
        reactor.prepare([30], steps=0)
