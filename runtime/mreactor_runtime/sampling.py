"""The fused sampler: the whole reverse diffusion of a clip as one replayable thing.

The loop is `mreactor_ref.sampler.sample` with `fused_step`, over whatever engine there is. Where
the engine's launches can be recorded, all steps are one CUDA graph, and a clip is one launch:
inputs and noise are copied to static buffers first, and nothing waits for the device in between.
Elsewhere the same loop runs as it is; ONNX Runtime's CUDA provider has a graph for each step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from mreactor_ref.sampler import sample
from mreactor_ref.schedule import SolverTable
from mreactor_ref.stages import SAMPLING, reached
from mreactor_runtime.device_clock import DeviceClock
from mreactor_runtime.engines.engine import Engine
from mreactor_runtime.engines.names import CUDA, TENSORRT, TENSORRT_RTX, TORCH
from mreactor_runtime.engines.reference import step_graph
from mreactor_runtime.kernels.cuda_graph import CudaStream, Stream
from mreactor_runtime.kernels.step import fused_step
from mreactor_runtime.recordings import KEPT_GRAPHS, Recordings
from mreactor_runtime.tensors import (
    CLEAN,
    DENOISER,
    GUIDANCE,
    MASK,
    MODULATION,
    NOISY,
    GraphSpec,
)

# Engines whose launches can be recorded by their caller. A session of ONNX Runtime cannot.
RECORDABLE = (TORCH, TENSORRT, TENSORRT_RTX)
NOISE = "noise"  # the buffer of all steps' noise
# Noise of all steps that is laid out on the device before a launch. A table with more, such as
# 1000 steps of DDPM over a long clip, is not recorded, and draws its noise step by step.
MOST_NOISE_BYTES = 2 * 1024**3

Noise = Callable[[int], Tensor]
Key = tuple[str, bytes, tuple[tuple[str, tuple[int, ...]], ...]]


@runtime_checkable
class Stepping(Protocol):
    """An engine with a way in for a whole loop, beside `run` for one step."""

    def steps(
        self, inputs: Mapping[str, Tensor], guided: bool
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """(noisy, modulation of a step) -> the clean sample of a clip.

        Args:
            inputs: of a step, but for noisy, modulation and guidance. What no step changes is
                made of them here.
            guided: return (B, 2 S, T, C), with the speaker first, then without; guidance is left to
                the fused step. Else (B, S, T, C), with the speaker.
        """
        ...


@dataclass(frozen=True)
class _Run:
    """One run of the loop.

    Attributes:
        inputs: of the graph. NOISY is where the loop starts, and it is overwritten by
            where it ends; MODULATION (N, M, D) is that of all steps.
    """

    graph: str
    table: SolverTable
    inputs: Mapping[str, Tensor]

    @property
    def can_be_recorded(self) -> bool:
        return len(self.table.noisy_steps) * self.inputs[NOISY].nbytes <= MOST_NOISE_BYTES

    @property
    def key(self) -> Key:
        """The run that a recording repeats; all other numbers lie in buffers."""
        shapes = tuple((name, tuple(x.shape)) for name, x in self.inputs.items())
        return self.graph, self.table.rows.tobytes(), shapes


class Sampler:
    """Runs the loop on an engine, and keeps what it recorded.

    Not for two threads at once: recordings share their buffers.

    Args:
        specs: the graphs of the model.
        stream: to record on. None is the engine's own where its launches can be recorded.
        kept: recordings at most; the one unused for longest is let go.

    Attributes:
        stream: that it records on; None where nothing is recorded.
        clock: how long the device has worked; compiling and recording are not its work.
    """

    def __init__(
        self,
        engine: Engine,
        specs: Mapping[str, GraphSpec],
        stream: Stream | None = None,
        kept: int = KEPT_GRAPHS,
    ):
        if stream is None and engine.device.type == CUDA and engine.name in RECORDABLE:
            stream = CudaStream(engine.device)
        self._engine, self._specs, self.stream = engine, specs, stream
        self._recordings = None if stream is None else Recordings(stream, kept)
        self.clock = DeviceClock(engine.device)

    def run(
        self,
        inputs: Mapping[str, Tensor],
        start: Tensor,
        table: SolverTable,
        modulation: Tensor,
        guidance: float = 1.0,
        noise: Noise | None = None,
    ) -> Tensor:
        """The clean sample (B, S, T, C), in memory of its own.

        Args:
            inputs: what `tensors.py` lists for a step of the reactions of `start`; more is ignored.
            start: (B, S, T, C) standard normal, on the engine's device; not changed.
            modulation: (N, M, D), a row for each step of the table.
            guidance: 1 runs the graph without the branch that has no speaker.
            noise: i -> (B, S, T, C), for tables that add noise.

        Raises:
            ValueError: the table adds noise, and there is no `noise`.
        """
        graph = step_graph(guidance)
        tensors = {**inputs, NOISY: start, MODULATION: modulation}
        if graph == DENOISER:
            tensors[GUIDANCE] = torch.full((), guidance, device=self._engine.device)
        step = {tensor.name: tensors[tensor.name] for tensor in self._specs[graph].inputs}
        run = _Run(graph, table, step)
        with torch.inference_mode():
            if self._recordings is None or not run.can_be_recorded:
                copy = start.clone(memory_format=torch.contiguous_format)
                with self.clock.span():
                    return self._loop(_Run(graph, table, step | {NOISY: copy}), noise)
            return self._replay(run, noise, self._recordings)

    def prepare(
        self, sizes: Iterable[Mapping[str, int]], table: SolverTable, guidance: float = 1.0
    ) -> None:
        """Record at some sizes (symbol -> size), the largest first, so that they share its memory.

        Where nothing is recorded it does nothing, and what is recorded already stays as it is.
        """
        if self._recordings is None:
            return
        graph, device = step_graph(guidance), self._engine.device
        spec = self._specs[graph]
        for size in sorted(sizes, key=lambda size: math.prod(size.values()), reverse=True):
            unfilled = _Run(graph, table, _unfilled(spec, size, len(table)))
            if not unfilled.can_be_recorded or unfilled.key in self._recordings:
                continue
            inputs = {
                tensor.name: torch.zeros(
                    tensor.shape(size), dtype=getattr(torch, tensor.dtype), device=device
                )
                for tensor in spec.inputs
            }
            inputs[MASK].fill_(True)
            start, modulation = inputs[NOISY], inputs[MODULATION]
            rows = modulation.expand(len(table), *modulation.shape)
            self.run(inputs, start, table, rows, guidance, lambda _, start=start: start)

    def close(self) -> None:
        """Let go of all recordings, then of the buffers."""
        if self._recordings is not None:
            self._recordings.close()

    def _loop(self, run: _Run, noise: Noise | None) -> Tensor:
        """The one loop."""
        inputs, engine = run.inputs, self._engine
        modulation, guidance = inputs[MODULATION], inputs.get(GUIDANCE)

        if isinstance(engine, Stepping):
            changing = (NOISY, MODULATION, GUIDANCE)
            shared = {name: x for name, x in inputs.items() if name not in changing}
            clean_of = engine.steps(shared, guided=guidance is not None)

            def denoise(x: Tensor, i: int) -> Tensor:
                return clean_of(x, modulation[i])
        else:
            guidance = None  # it is an input of the graph, which applies it

            def denoise(x: Tensor, i: int) -> Tensor:
                return engine.run(run.graph, {**inputs, NOISY: x, MODULATION: modulation[i]})[CLEAN]

        def told(x: Tensor, i: int) -> Tensor:
            reached(SAMPLING, i / len(run.table))
            return denoise(x, i)

        step = partial(fused_step, guidance=guidance)
        return sample(told, inputs[NOISY], run.table, noise, step)

    def _replay(self, run: _Run, noise: Noise | None, recordings: Recordings) -> Tensor:
        """One launch over the static buffers; recorded first where it was not yet."""
        static, noises = self._lay_out(run, noise, recordings)
        if run.key not in recordings:
            loop = partial(self._loop, static, noises.__getitem__ if noises else None)
            recordings.record(run.key, loop)
            static.inputs[NOISY].copy_(run.inputs[NOISY])  # the first run has overwritten it
        with self.clock.span():
            recordings.replay(run.key)
        return static.inputs[NOISY].clone()

    def _lay_out(
        self, run: _Run, noise: Noise | None, recordings: Recordings
    ) -> tuple[_Run, dict[int, Tensor]]:
        """The same run in static buffers, and there the noise of each step that adds any."""
        if noise is None and run.table.noisy_steps:
            raise ValueError(f"scheduler {run.table.scheduler} adds noise, and none was given")
        start, count = run.inputs[NOISY], len(run.table.noisy_steps)
        static = recordings.place({**run.inputs, NOISE: start.expand(count, *start.shape)})
        for name, value in run.inputs.items():
            static[name].copy_(value)
        noises = dict(zip(run.table.noisy_steps, static.pop(NOISE), strict=True))
        for i, buffer in noises.items():
            if noise is not None:
                buffer.copy_(noise(i))
        return _Run(run.graph, run.table, static), noises


def _unfilled(spec: GraphSpec, size: Mapping[str, int], steps: int) -> dict[str, Tensor]:
    """The inputs of a run at some sizes, without memory."""
    shapes = {tensor.name: tensor.shape(size) for tensor in spec.inputs}
    shapes[MODULATION] = (steps, *shapes[MODULATION])
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
