"""Other ways to run the same weights, to hold the engines against.

Each peer is a function of (model, batch, table, guidance) that gives the `denoise` of one call:
(x, step) -> clean, as `mreactor_ref.sampler.sample` takes it. All of them run the reference's own
parts, in fp32, at the clips' own length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from mreactor_ref.config import ModelConfig
from mreactor_ref.denoiser import Context, guide
from mreactor_ref.errors import MReactorError, UsageError
from mreactor_ref.model import Batch, MReactor
from mreactor_ref.schedule import SolverTable
from mreactor_ref.signals import NO_EMOTION
from mreactor_runtime.engines.onnxruntime_engine import INSTALL, PROVIDERS, has_provider
from mreactor_runtime.engines.reference import step_graph
from mreactor_runtime.tensors import (
    CLEAN,
    DENOISER,
    ENCODER,
    GUIDANCE,
    MASK,
    MODULATION,
    MODULATOR,
    NOISY,
    TIMESTEP,
    graph_specs,
)

Denoise = Callable[[Tensor, int], Tensor]
Peer = Callable[[Batch, SolverTable, float], Denoise]


class Unavailable(MReactorError):
    """A peer that this machine cannot run; a report says so and goes on."""


def published(model: MReactor) -> Peer:
    """The loop as published samplers write it: nothing is kept from one step to the next.

    Each reaction is a row of its own, with its own copy of the speaker. With guidance a second
    copy of all rows has its condition dropped, and attends to the dropped condition like any other.
    Every step computes the condition of every row, keys, values and embeddings anew.
    """
    model.fuse_attention(False)

    def prepare(batch: Batch, table: SolverTable, guidance: float) -> Denoise:
        clips, samples = batch.emotion.shape[:2]
        rows = _rows(batch)
        dropped = torch.zeros(len(rows.mask), dtype=torch.bool, device=rows.mask.device)
        if guidance != 1:
            rows = Batch(**{f.name: _twice(getattr(rows, f.name)) for f in fields(rows)})
            dropped = torch.cat((dropped, ~dropped))

        def denoise(x: Tensor, step: int) -> Tensor:
            noisy = x.flatten(0, 1)[:, None]  # (B S, 1, T, C)
            if guidance != 1:
                noisy = _twice(noisy)
            timestep = torch.full((len(noisy), 1), int(table.timesteps[step]), device=x.device)
            clean = _forward(model, rows, noisy, timestep, dropped)
            if guidance != 1:
                conditional, unconditional = clean.chunk(2)
                clean = guide(unconditional, conditional, guidance)
            return clean[:, 0].unflatten(0, (clips, samples))

        return denoise

    return prepare


def _rows(batch: Batch) -> Batch:
    """Clips (B) with S reactions each -> clips (B S) with one each."""
    samples = batch.emotion.shape[1]
    speaker = ("sound", "words", "coefficients", "attributes", "present", "mask")
    repeated = {name: getattr(batch, name).repeat_interleave(samples, dim=0) for name in speaker}
    own = ("emotion", "affect", "smoothness", "listener")
    split = {name: getattr(batch, name).flatten(0, 1)[:, None] for name in own}
    return Batch(**repeated, **split)


def _twice(x: Tensor) -> Tensor:
    return torch.cat((x, x))


def _forward(
    model: MReactor, rows: Batch, noisy: Tensor, timestep: Tensor, dropped: Tensor
) -> Tensor:
    """A whole pass of the model, as training makes it: (R, 1, T, 83) -> (R, 1, T, 83)."""
    denoiser = model.denoiser
    _, cognition = model.understand(rows)
    condition = torch.where(dropped[:, None, None], denoiser.null_token, cognition.condition)
    emotion = torch.where(dropped[:, None, None], NO_EMOTION, rows.emotion)
    affect = torch.where(dropped[:, None, None, None], 0.0, rows.affect)
    context = denoiser.make_context(condition, emotion, affect, rows.smoothness, rows.listener)
    return denoiser.conditional(noisy, denoiser.step(timestep), context, rows.mask)


def eager(model: MReactor, compiled: bool = False) -> Peer:
    """PyTorch as a careful user writes it: what no step changes is made once a clip.

    All reactions are in one batch, attention is PyTorch's fused kernel. `compiled` puts one step
    under `torch.compile`, for the shapes it meets.
    """
    model.fuse_attention()

    def run(
        x: Tensor, modulation: Tensor, context: Context, mask: Tensor, guidance: Tensor | None
    ) -> Tensor:
        if guidance is None:
            return model.denoiser.conditional(x, modulation, context, mask)
        return model.denoise(x, modulation, context, mask, guidance)

    step = _compiled(run) if compiled else run

    def prepare(batch: Batch, table: SolverTable, guidance: float) -> Denoise:
        context = model.encode(batch)
        modulation = model.modulate(torch.tensor(table.timesteps, device=batch.mask.device))
        scale = None if guidance == 1 else torch.tensor(guidance, device=batch.mask.device)
        return lambda x, i: step(x, modulation[i], context, batch.mask, scale)

    return prepare


def _compiled(run: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Under torch.compile; what its compiler cannot do is said in one line."""
    compiled = torch.compile(run, dynamic=False)

    def step(*arguments: object) -> Tensor:
        from torch._dynamo.exc import TorchDynamoException

        try:
            return compiled(*arguments)
        except TorchDynamoException as error:  # also what its C++ compiler says
            reason = next((line for line in str(error).splitlines() if line.strip()), "")
            raise Unavailable(
                f"torch.compile does not work here: {reason.strip()}",
                fix="it needs a C++ compiler for a CPU, and Triton for a GPU",
            ) from error

    return step


def onnx_arrays(
    onnx_files: Mapping[str, bytes], config: ModelConfig, device: str, threads: int | None
) -> Peer:
    """ONNX Runtime as its documentation begins: numpy arrays in and out, default options.

    Args:
        onnx_files: graph name -> ONNX bytes. threads: of one operator; None is the default.
    Raises: UsageError: onnxruntime, or its provider for the device, is not installed.
    """
    if not has_provider(device):
        raise UsageError(f"no onnxruntime runs on {device} here", fix=INSTALL[device])
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    sessions = {
        name: onnxruntime.InferenceSession(content, options, providers=[PROVIDERS[device]])
        for name, content in onnx_files.items()
    }
    specs = graph_specs(config)

    def run(graph: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        # An input that the graph makes no use of is not one of the session's.
        wanted = {value.name for value in sessions[graph].get_inputs()}
        outputs = sessions[graph].run(None, {n: x for n, x in inputs.items() if n in wanted})
        names = [tensor.name for tensor in specs[graph].outputs]
        return {name: np.asarray(x) for name, x in zip(names, outputs, strict=True)}

    def prepare(batch: Batch, table: SolverTable, guidance: float) -> Denoise:
        given = {f.name: getattr(batch, f.name).numpy() for f in fields(batch)}
        inputs = run(ENCODER, given) | {MASK: given[MASK]}
        modulation = run(MODULATOR, {TIMESTEP: np.array(table.timesteps)})[MODULATION]
        graph = step_graph(guidance)
        if graph == DENOISER:
            inputs[GUIDANCE] = np.array(guidance, np.float32)

        def denoise(x: Tensor, step: int) -> Tensor:
            now = inputs | {NOISY: x.numpy(), MODULATION: modulation[step]}
            return torch.from_numpy(run(graph, now)[CLEAN])

        return denoise

    return prepare
