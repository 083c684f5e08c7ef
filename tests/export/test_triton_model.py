"""One request gives all reactions: the model of the Python backend, with a server that is a fake.

The fake has the calls of `triton_python_backend_utils` that the model makes, and runs the other
models of the repository by ONNX Runtime.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from fakes.engines import CONFIG, TwoSubjects, bundle_info, onnx_files, speaker_clip
from google.protobuf import text_format
from test_triton_server import schema as schema  # the fixture

from mreactor_export.triton_server import reactions_config, write_model_repository
from mreactor_ref.emotion.priors import assign
from mreactor_ref.listeners import draw_codes
from mreactor_ref.schedule import Solver
from mreactor_ref.signals import REACTION
from mreactor_runtime.bundle import write_bundle
from mreactor_runtime.clip_tensors import encoder_inputs
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.tensors import ENCODER, graph_specs

onnxruntime = pytest.importorskip("onnxruntime")
SAMPLES, SEED = 10, 7
ENCODER_SPEC = graph_specs(CONFIG)[ENCODER]


class Tensor:
    def __init__(self, name: str, values: np.ndarray):
        assert isinstance(values, np.ndarray)
        assert values.flags.c_contiguous
        self._name, self._values = name, values

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray:
        return self._values


class Request:
    def __init__(self, inputs: list[Tensor]):
        self._inputs = inputs

    def inputs(self) -> list[Tensor]:
        return self._inputs


class Error:
    def __init__(self, message: str):
        self._message = message

    def message(self) -> str:
        return self._message


class Response:
    def __init__(self, output_tensors: list[Tensor] | None = None, error: Error | None = None):
        self._outputs, self._error = output_tensors or [], error

    def output_tensors(self) -> list[Tensor]:
        return self._outputs

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> Error | None:
        return self._error


def backend(repository: Path, calls: list[str]) -> ModuleType:
    """A stand-in for the module that the server gives to its Python models."""
    module = ModuleType("triton_python_backend_utils")

    class InferenceRequest:
        def __init__(self, model_name, requested_output_names, inputs, preferred_memory=None):
            self._model, self._wanted, self._inputs = model_name, requested_output_names, inputs

        def exec(self) -> Response:
            calls.append(self._model)
            session = onnxruntime.InferenceSession(repository / self._model / "1" / "model.onnx")
            ranks = {value.name: len(value.shape) for value in session.get_inputs()}
            # As the server: a scalar comes with the shape [1].
            feed = {
                x.name(): x.as_numpy() if ranks[x.name()] else x.as_numpy().reshape(())
                for x in self._inputs
            }
            try:
                outputs = session.run(self._wanted, feed)
            except Exception as error:
                return Response(error=Error(str(error)))
            return Response([Tensor(*pair) for pair in zip(self._wanted, outputs, strict=True)])

    module.__dict__.update(
        {"Tensor": Tensor, "InferenceRequest": InferenceRequest, "InferenceResponse": Response},
        TritonError=Error,
        PreferredMemory=lambda kind, device: (kind, device),
        TRITONSERVER_MEMORY_CPU=0,
    )
    return module


@pytest.fixture(params=[("ddim", 1.0), ("ddpm", 2.0)], ids=str)
def served(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The model as the server opens it, the calls that it makes, and a reactor of the bundle."""
    scheduler, guidance = request.param
    solver = Solver(scheduler=scheduler, steps=4, guidance_scale=guidance)
    generator = np.random.default_rng(0)
    mean, std = generator.normal(size=REACTION), 1 + generator.random(REACTION)
    info = replace(
        bundle_info(), defaults=solver, reaction_mean=tuple(mean), reaction_std=tuple(std)
    )
    write_bundle(tmp_path / "bundle", info, onnx_files())
    repository, calls = tmp_path / "repository", list[str]()
    write_model_repository(onnx_files(), info, repository)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", backend(repository, calls))
    path = repository / "mreactor_reactions" / "1" / "model.py"
    spec = importlib.util.spec_from_file_location("served_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "path", list(sys.path))
    model = module.TritonPythonModel()
    model.initialize({})
    reactor = Reactor.open(tmp_path / "bundle", "onnx", source=TwoSubjects())
    return model, calls, reactor


def request_for(reactor: Reactor, clip) -> Request:
    """What a client sends: the encoder's inputs, a seed, and the clip's id."""
    priors = assign(clip.utterances, reactor.source, SAMPLES, SEED, clip.id)
    codes = draw_codes(SEED, clip.id, range(SAMPLES), reactor.model.listener_shares)
    inputs = encoder_inputs(clip, priors, clip.frames, 0.0, codes, ENCODER_SPEC, CONFIG)
    tensors = [Tensor(name, np.ascontiguousarray(x.numpy())) for name, x in inputs.items()]
    ids = np.array([clip.id.encode()], np.object_)
    return Request([*tensors, Tensor("seed", np.array([SEED])), Tensor("clip_id", ids)])


def test_one_request_gives_the_reactors_reactions(served):
    model, calls, reactor = served
    clip = speaker_clip(64)
    [response] = model.execute([request_for(reactor, clip)])
    assert response.error() is None, response.error().message()
    found = {tensor.name(): tensor.as_numpy()[0] for tensor in response.output_tensors()}
    expected = reactor.generate(clip, samples=SAMPLES, seed=SEED)
    assert found["attributes"].shape == (SAMPLES, 64, 25)
    for name, values in found.items():
        assert np.allclose(values, getattr(expected, name), atol=1e-5), name
    assert calls.count("mreactor_encoder") == 1
    assert len(calls) == 1 + 1 + 4


def test_a_second_request_modulates_nothing_and_a_bad_one_stops_no_other(served):
    model, calls, reactor = served
    good = request_for(reactor, speaker_clip(64))
    bad = Request([x for x in good.inputs() if x.name() != "clip_id"])
    bad.inputs().append(Tensor("clip_id", np.array([b"a", b"b"], np.object_)))
    failed, response = model.execute([bad, good])
    assert "2 clip ids are not for 1 clips" in failed.error().message()
    assert response.error() is None
    calls.clear()
    model.execute([good])
    assert "mreactor_modulator" not in calls


def test_what_another_model_says_went_wrong_is_passed_on(served):
    model, _, reactor = served
    request = request_for(reactor, speaker_clip(64))
    inputs = {tensor.name(): tensor for tensor in request.inputs()}
    inputs["sound"] = Tensor("sound", np.zeros((1, 63, 1), np.float32))
    [response] = model.execute([Request(list(inputs.values()))])
    assert response.error().message().startswith("RuntimeError: encoder: ")


def test_its_configuration_is_valid(schema: ModuleType):
    config = text_format.Parse(reactions_config(ENCODER_SPEC), schema.ModelConfig())
    assert (config.name, config.backend, config.max_batch_size) == (
        "mreactor_reactions",
        "python",
        0,
    )
    names = schema.DataType.Name
    inputs = {t.name: (names(t.data_type), list(t.dims)) for t in config.input}
    assert list(inputs) == [*(t.name for t in ENCODER_SPEC.inputs), "seed", "clip_id"]
    assert inputs["clip_id"] == ("TYPE_STRING", [-1])
    outputs = {t.name: (names(t.data_type), list(t.dims)) for t in config.output}
    assert outputs == {
        "attributes": ("TYPE_FP32", [-1, -1, -1, 25]),
        "coefficients": ("TYPE_FP32", [-1, -1, -1, 58]),
    }


def test_the_settings_hold_the_solver(tmp_path: Path):
    write_model_repository(onnx_files(), bundle_info(), tmp_path / "r")
    settings = json.loads((tmp_path / "r/mreactor_reactions/1/reactions.json").read_text())
    table = Solver().table(CONFIG.train_steps)
    assert settings["rows"] == table.rows.tolist()
    assert settings["timesteps"] == table.timesteps.tolist()
