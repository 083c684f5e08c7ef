"""Peers make the engines' reactions; the published one does its work anew at every step."""

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from fakes.exported import exported_files, network
from fakes.models import small_config
from torch._dynamo.exc import TorchDynamoException

from mreactor_bench.throughput import peers
from mreactor_bench.throughput.measure import relative_error
from mreactor_bench.throughput.peers import Unavailable, published
from mreactor_bench.throughput.runners import open_runner
from mreactor_bench.throughput.setting import COMPILE, EAGER, ONNX_ARRAYS, PUBLISHED, Setting
from mreactor_bench.throughput.speakers import make_batch, random_clips
from mreactor_bench.throughput.weights import (
    Weights,
    find_weights,
    random_model,
    random_weights,
    with_exports,
)
from mreactor_export import to_onnx
from mreactor_export.parity.setup import BOUNDS
from mreactor_ref.checkpoint import load_checkpoint, save_checkpoint
from mreactor_ref.config import CONFIGS
from mreactor_ref.errors import UsageError
from mreactor_ref.model import MReactor
from mreactor_ref.schedule import Solver, solver_table
from mreactor_runtime.sampling_options import changed

BASE = Setting("torch", "fp32", "cpu", 1, 21, 3, Solver("dpmsolver++", 4))
SOLVERS = {
    "unguided": {},
    "guided": {"guidance_scale": 2.5, "batch_size": 2},
    "noisy": {"scheduler": "ddpm", "guidance_scale": 0.0, "timestep_spacing": "trailing"},
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """A tiny model as checkpoint and as bundle; its graphs are those that all tests share."""

    def export(model: MReactor, opset: int, metadata: dict[str, str], *, dtype: str):
        files = {}
        for name, content in exported_files().items():
            proto = onnx.load_from_string(content)
            onnx.helper.set_model_props(proto, metadata)
            files[name] = proto.SerializeToString()
        return files

    folder, model = tmp_path_factory.mktemp("weights"), network()
    path = folder / "tiny.safetensors"
    save_checkpoint(model, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(to_onnx, "export_graphs", export)
        said: list[str] = []
        found = with_exports(find_weights(str(path)), ["fp32", "fp32"], folder, said.append)
    assert said == [f"exporting {path} in fp32"]
    assert found.config == model.config
    return found


def with_changes(runner: str, **changes) -> Setting:
    return changed(BASE, runner=runner, **changes)


@pytest.mark.parametrize("runner", [PUBLISHED, EAGER, ONNX_ARRAYS, "onnx", COMPILE])
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_runner_makes_the_reactions_of_the_torch_engine(
    weights: Weights, runner: str, solver: str, monkeypatch: pytest.MonkeyPatch
):
    # What a compiler makes of it is not asked here: it takes half a minute.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    changes = SOLVERS[solver]
    expected = open_runner(weights, with_changes("torch", **changes)).call()
    found = open_runner(weights, with_changes(runner, **changes))
    assert found.name == runner
    assert expected.shape == (changes.get("batch_size", 1), 3, 21, 83)
    assert np.ptp(expected) > 0.1
    assert relative_error(found.call(), expected) <= BOUNDS["fp32"].trajectory


@pytest.mark.parametrize(("guidance", "copies"), [(1.0, 1), (2.0, 2)])
def test_the_published_loop_computes_all_rows_at_every_step(guidance: float, copies: int):
    model, calls = network(), []
    model.perception.register_forward_hook(lambda _m, inputs, _o: calls.append(inputs[0][0].shape))
    batch = make_batch(
        random_clips(model.config, 7, 2), 3, model.listener_shares.numpy(), torch.device("cpu")
    )
    table = solver_table("ddim", 4)
    with torch.no_grad():
        denoise = published(model)(batch, table, guidance)
        for step in range(len(table)):
            denoise(torch.randn(2, 3, 7, 83), step)
    assert [shape[0] for shape in calls] == [2 * 3 * copies] * 4


def test_the_hoisted_loop_encodes_once(weights: Weights):
    model, calls = network(), []
    model.perception.register_forward_hook(lambda *_: calls.append("encoder"))
    model.denoiser.step.register_forward_hook(lambda *_: calls.append("modulations"))
    batch = make_batch(
        random_clips(model.config, 7, 1), 3, model.listener_shares.numpy(), torch.device("cpu")
    )
    with torch.no_grad():
        denoise = peers.eager(model)(batch, solver_table("ddim", 4), 2.0)
        for step in range(4):
            denoise(torch.randn(1, 3, 7, 83), step)
    assert calls == ["encoder", "modulations"]


def test_a_compiler_that_fails_is_said_in_one_line(
    weights: Weights, monkeypatch: pytest.MonkeyPatch
):
    def broken(run, **_):
        def fail(*_):
            raise TorchDynamoException("no C++ compiler\nand a long trace")

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    runner = open_runner(weights, with_changes(COMPILE))
    with pytest.raises(Unavailable, match=r"here: no C\+\+ compiler \(it needs a C\+\+"):
        runner.call()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # of torch by torch
def test_the_compiled_step_makes_the_reactions_of_the_torch_engine(weights: Weights):
    try:
        found = open_runner(weights, with_changes(COMPILE)).call()
    except Unavailable as error:
        pytest.skip(str(error))
    expected = open_runner(weights, with_changes("torch")).call()
    assert relative_error(found, expected) <= BOUNDS["fp32"].trajectory


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"runner": EAGER, "dtype": "bf16"}, "eager runs in fp32"),
        ({"runner": "torch", "dtype": "bf16"}, "torch engine computes in fp32 on cpu"),
        ({"runner": "onnx", "dtype": "fp16"}, "no export in fp16"),
        ({"runner": "tensorrt"}, "tensorrt runs on CUDA only"),
    ],
)
def test_what_a_runner_has_not_is_one_line(weights: Weights, changes: dict, words: str):
    with pytest.raises(UsageError, match=words):
        open_runner(weights, with_changes(**{"runner": "torch", **changes}))


def test_a_missing_package_is_one_line(weights: Weights, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(peers, "has_provider", lambda device: False)
    with pytest.raises(UsageError, match=r"no onnxruntime runs on cpu here \(pip install"):
        open_runner(weights, with_changes(ONNX_ARRAYS))


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
@pytest.mark.parametrize("runner", ["torch", EAGER])
def test_a_device_that_is_not_there_is_one_line(weights: Weights, runner: str):
    with pytest.raises(UsageError, match="no CUDA device"):
        open_runner(weights, with_changes(runner, device="cuda"))


def test_a_bundle_alone_has_no_checkpoint_for_the_others(weights: Weights):
    alone = find_weights(str(weights.bundles["fp32"]))
    assert (alone.checkpoint, alone.sha256) == (None, weights.sha256)
    for runner in ("torch", EAGER):
        with pytest.raises(UsageError, match=f"no checkpoint for {runner}"):
            open_runner(alone, with_changes(runner))
    assert open_runner(alone, with_changes("onnx")).call().shape == (1, 3, 21, 83)


def test_random_weights_are_the_same_again_and_have_an_effect(tmp_path: Path):
    found = [random_weights("mini", tmp_path / name) for name in "ab"]
    model, again = (load_checkpoint(weights.checkpoint_for("torch")) for weights in found)
    assert model.config == CONFIGS["mini"]
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    assert all(bool(p.any()) for p in model.parameters() if p.ndim > 1)
    other = random_model(small_config(), seed=1).denoiser.out.weight
    assert not torch.equal(other, random_model(small_config(), seed=2).denoiser.out.weight)
    with pytest.raises(UsageError, match="no config 'maxi'"):
        random_weights("maxi", tmp_path)
