"""The model `mreactor_reactions` of a Triton server: one request in, all reactions to a clip out.

It runs in the server's Python backend, from the folder that `triton_server.py` writes, and needs
numpy alone. It is the loop of `mreactor_ref.sampler` over the other models of the repository: the
encoder once, the modulator once a server, the denoiser once a step. Noise is drawn here, by the
recipe of `mreactor_ref/noise.py`, which lies beside this file: the reactions are those of
`Reactor.generate`, up to rounding.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # pyright: ignore[reportMissingImports]

FOLDER = Path(__file__).parent
SETTINGS = "reactions.json"
CPU = (pb_utils.TRITONSERVER_MEMORY_CPU, 0)


class TritonPythonModel:
    """What the Python backend looks for."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Read what is the same for every request."""
        sys.path.insert(0, str(FOLDER))
        from mreactor_ref.noise import INITIAL, reaction_noise

        self._initial, self._draw = INITIAL, reaction_noise
        self._settings: dict[str, Any] = json.loads((FOLDER / SETTINGS).read_text("utf-8"))
        self._modulation = np.zeros((0, 0, 0), np.float32)  # of every step, (N, M, D), once known

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """A response for each request. One that fails says why, and the others go on."""
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        try:
            reactions = self._react(request)
        except Exception as error:  # whatever it is, it is this request's
            message = f"{type(error).__name__}: {error}"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(message))
        outputs = [pb_utils.Tensor(name, np.ascontiguousarray(x)) for name, x in reactions.items()]
        return pb_utils.InferenceResponse(output_tensors=outputs)

    def _react(self, request: Any) -> dict[str, np.ndarray]:
        """Attributes (B, S, T, 25) and coefficients (B, S, T, 58), in natural units."""
        settings = self._settings
        given = {tensor.name(): tensor for tensor in request.inputs()}
        seed = int(given["seed"].as_numpy().reshape(-1)[0])
        clip_ids = [text.decode("utf-8") for text in given["clip_id"].as_numpy().reshape(-1)]
        clips, reactions, frames = given["emotion"].as_numpy().shape
        if len(clip_ids) != clips:
            raise ValueError(f"{len(clip_ids)} clip ids are not for {clips} clips")
        encoder = settings["encoder"]
        # What it makes stays where it is, on the device or not, and goes from there into each step.
        context = self._run("encoder", [given[name] for name in encoder["inputs"]], None)
        context["mask"] = given["mask"]

        def noise(step: int) -> np.ndarray:
            size = frames, settings["channels"]
            return self._draw(seed, clip_ids, range(reactions), step, *size)

        x = noise(self._initial)
        previous = np.zeros_like(x)
        for i, (a, b, c, n) in enumerate(np.asarray(settings["rows"], np.float32)):
            clean = self._clean(x, self._modulations()[i], context)
            x = a * x + b * clean + c * previous
            if n:
                x = x + n * noise(i)
            previous = clean
        return self._in_natural_units(x)

    def _clean(self, x: np.ndarray, modulation: np.ndarray, context: Mapping[str, Any]) -> Any:
        """One step, guided."""
        step = self._settings["step"]
        changing = {"noisy": x, "modulation": modulation}
        changing["guidance"] = np.array([self._settings["guidance"]], np.float32)
        inputs = [
            pb_utils.Tensor(name, np.ascontiguousarray(changing[name]))
            if name in changing
            else context[name]
            for name in step["inputs"]
        ]
        return self._run(step["graph"], inputs, CPU)["clean"].as_numpy()

    def _modulations(self) -> np.ndarray:
        """Of every step, (N, M, D): asked for once, by the first request."""
        if not len(self._modulation):
            timesteps = np.array(self._settings["timesteps"], np.int64)
            inputs = [pb_utils.Tensor("timestep", timesteps)]
            self._modulation = self._run("modulator", inputs, CPU)["modulation"].as_numpy()
        return self._modulation

    def _run(self, graph: str, inputs: list[Any], memory: tuple[Any, int] | None) -> dict[str, Any]:
        """The outputs of another model, as tensors; raises what it says went wrong."""
        placed = {} if memory is None else {"preferred_memory": pb_utils.PreferredMemory(*memory)}
        response = pb_utils.InferenceRequest(
            model_name=self._settings["prefix"] + graph,
            requested_output_names=self._settings["outputs"][graph],
            inputs=inputs,
            **placed,
        ).exec()
        if response.has_error():
            raise RuntimeError(f"{graph}: {response.error().message()}")
        return {tensor.name(): tensor for tensor in response.output_tensors()}

    def _in_natural_units(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """As `mreactor_ref.model.to_reaction`."""
        settings = self._settings
        x = x * np.asarray(settings["std"], np.float32) + np.asarray(settings["mean"], np.float32)
        units, affect, expressions, end = settings["ends"]
        shown = np.maximum(x[..., affect:expressions], np.float32(1e-6))
        attributes = (
            np.clip(x[..., :units], 0, 1),
            np.clip(x[..., units:affect], -1, 1),
            shown / shown.sum(axis=-1, keepdims=True),
        )
        return {
            "attributes": np.concatenate(attributes, axis=-1),
            "coefficients": x[..., expressions:end],
        }
