"""The proof that an engine computes what the reference computes, case by case.

Three questions: is a graph's output the reference's (`graphs`), is a whole trajectory's end
(`trajectory`), and is a padded clip in a batch what that clip is alone (`padding`). Errors are
relative L2: of a graph's output over all frames, since a NaN in a padded one would spread, and of
the others over the real frames. A figure over its bound fails the export.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mreactor_export.to_onnx import ExportError
from mreactor_ref.model import MReactor
from mreactor_ref.noise import INITIAL, reaction_noise
from mreactor_ref.sampler import sample
from mreactor_ref.schedule import solver_table
from mreactor_ref.signals import REACTION
from mreactor_runtime.engines.engine import Engine
from mreactor_runtime.engines.torch_engine import TorchEngine
from mreactor_runtime.tensors import (
    DENOISER,
    ENCODER,
    MASK,
    MODULATOR,
    PRESENT,
    example_inputs,
    graphs,
)

STEP_BOUND = 1e-5  # relative L2 of one call of a graph, fp32
TRAJECTORY_BOUND = 1e-4  # and of the end of a whole trajectory
TRAJECTORY_STEPS = 50
GUIDANCE = (0.0, 1.0, 7.5)

# Clips, reactions, frames. Lengths at and around a bucket's end, one frame, and long ones; rows
# after the first end in padded frames.
STEP_CASES = (
    *((1, 16, 1), (3, 2, 2), (2, 16, 63), (1, 10, 64), (3, 3, 65)),
    *((2, 1, 750), (1, 2, 1000)),
)
TRAJECTORY_CASES = (
    *((1, 16, 1), (2, 2, 2), (1, 2, 63), (3, 1, 64), (2, 2, 65)),
    *((1, 1, 750), (1, 1, 1000)),
)
SCHEDULERS = ("ddim", "dpmsolver++")
PADDING_FRAMES = (37, 64)  # a clip's own length, and that of its bucket


class ParityError(ExportError):
    """An engine that does not compute what the reference computes."""


@dataclass(frozen=True)
class Figure:
    """One comparison: what, at which sizes, how far apart, and how far it may be."""

    what: str
    clips: int
    reactions: int
    frames: int
    guidance: float | None
    maximum: float
    relative: float
    bound: float

    @property
    def passed(self) -> bool:
        return self.relative <= self.bound  # false for NaN

    @property
    def excess(self) -> float:
        """The error in bounds; infinite for NaN, which no number compares to."""
        return math.inf if math.isnan(self.relative) else self.relative / self.bound


def compare(found: Tensor, expected: Tensor, name: str) -> tuple[float, float]:
    """Largest absolute and relative L2 error, in float64.

    Raises: ParityError where shape or type differ.
    """
    if found.shape != expected.shape:
        raise ParityError(f"{name} has shape {tuple(found.shape)}, not {tuple(expected.shape)}")
    if found.dtype != expected.dtype:
        raise ParityError(f"{name} is {found.dtype}, not {expected.dtype}")
    error = found.double() - expected.double()
    size = expected.double().norm().item()
    relative = error.norm().item() / size if size else error.norm().item()
    return error.abs().max().item(), relative


def reference_engine(model: MReactor) -> TorchEngine:
    """The reference in its own words: attention written out."""
    engine = TorchEngine(model)
    model.fuse_attention(False)
    return engine


def _real(x: Tensor, mask: Tensor) -> Tensor:
    """Only the real frames: x (B, S, T, C), mask (B, T) -> (S, frames of all clips, C)."""
    return x.transpose(0, 1)[:, mask]


def step_figures(reference: Engine, candidate: Engine, model: MReactor) -> Iterator[Figure]:
    """Every graph at every size: one call each, the same inputs."""
    specs = graphs(model.config)
    for number, (clips, reactions, frames) in enumerate(STEP_CASES):
        sizes = {"B": clips, "S": reactions, "T": frames, "N": number + 1}
        inputs = {name: example_inputs(spec, sizes, seed=number) for name, spec in specs.items()}
        # The examples always have sound: here another stream is always there in each case.
        inputs[ENCODER][PRESENT] = inputs[ENCODER][PRESENT].roll(number, dims=1)
        context = reference.run(ENCODER, inputs[ENCODER])
        modulation = reference.run(MODULATOR, inputs[MODULATOR])
        given = {**inputs[DENOISER], **context, "modulation": modulation["modulation"][0]}
        given[MASK] = inputs[ENCODER][MASK]
        steps = {t.name: given[t.name] for t in specs[DENOISER].inputs}
        for name in (ENCODER, MODULATOR):
            yield _worst(name, (clips, reactions, frames), reference, candidate, inputs[name])
        for scale in GUIDANCE:
            steps["guidance"] = torch.tensor(scale)
            yield _worst(DENOISER, (clips, reactions, frames), reference, candidate, steps)


def _worst(
    graph: str,
    sizes: tuple[int, int, int],
    reference: Engine,
    candidate: Engine,
    inputs: dict[str, Tensor],
) -> Figure:
    """The output of a graph that is farthest from the reference."""
    expected, found = reference.run(graph, inputs), candidate.run(graph, inputs)
    if found.keys() != expected.keys():
        raise ParityError(f"{graph} gives {', '.join(found)}, not {', '.join(expected)}")
    guidance = inputs["guidance"].item() if "guidance" in inputs else None
    errors = [compare(found[name], expected[name], f"{graph}'s {name}") for name in expected]
    figures = [Figure(graph, *sizes, guidance, *pair, STEP_BOUND) for pair in errors]
    return max(figures, key=lambda figure: figure.excess)


def trajectory(
    engine: Engine, speaker: dict[str, Tensor], scheduler: str, steps: int, guidance: float
) -> Tensor:
    """The clean sample (B, S, T, 83) at the end of a whole trajectory, noise keyed by row."""
    table = solver_table(scheduler, steps)
    context = engine.run(ENCODER, speaker)
    timesteps = torch.from_numpy(table.timesteps.copy())
    modulation = engine.run(MODULATOR, {"timestep": timesteps})["modulation"]
    clips, reactions, frames = speaker["emotion"].shape
    held = {k: v for k, v in context.items() if k != "condition" or "keys" not in context}

    def denoise(x: Tensor, i: int) -> Tensor:
        inputs = {"noisy": x, "modulation": modulation[i], MASK: speaker[MASK], **held}
        return engine.run(DENOISER, {**inputs, "guidance": torch.tensor(guidance)})["clean"]

    ids = [f"clip {b}" for b in range(clips)]
    start = reaction_noise(0, ids, range(reactions), INITIAL, frames, REACTION)
    return sample(denoise, torch.from_numpy(start), table)


def trajectory_figures(reference: Engine, candidate: Engine, model: MReactor) -> Iterator[Figure]:
    """Whole trajectories of 50 steps, from the same noise, each engine with its own encoder."""
    spec = graphs(model.config)[ENCODER]
    for number, (clips, reactions, frames) in enumerate(TRAJECTORY_CASES):
        speaker = example_inputs(spec, {"B": clips, "S": reactions, "T": frames}, seed=number)
        scheduler = SCHEDULERS[number % len(SCHEDULERS)]
        scale = GUIDANCE[-1 - number % len(GUIDANCE)]
        ends = [
            _real(trajectory(e, speaker, scheduler, TRAJECTORY_STEPS, scale), speaker[MASK])
            for e in (candidate, reference)
        ]
        what = f"{TRAJECTORY_STEPS} steps {scheduler}"
        errors = compare(ends[0], ends[1], what)
        yield Figure(what, clips, reactions, frames, scale, *errors, TRAJECTORY_BOUND)


def padding_figures(reference: Engine, candidate: Engine, model: MReactor) -> Iterator[Figure]:
    """A clip padded to its bucket, second in a batch, against the same clip alone."""
    spec, (own, bucket) = graphs(model.config)[ENCODER], PADDING_FRAMES
    alone = example_inputs(spec, {"B": 1, "S": 2, "T": own}, seed=1)
    other = example_inputs(spec, {"B": 1, "S": 2, "T": bucket}, seed=2)
    batch = {
        tensor.name: torch.cat((other[tensor.name], _padded(alone[tensor.name], tensor.axes)))
        for tensor in spec.inputs
    }
    start = torch.randn(2, 2, bucket, REACTION, generator=torch.Generator().manual_seed(3))
    modulation = reference.run(MODULATOR, {"timestep": torch.tensor([500])})["modulation"][0]

    def step(engine: Engine, speaker: dict[str, Tensor], noisy: Tensor) -> Tensor:
        context = engine.run(ENCODER, speaker)
        table = {t.name for t in graphs(model.config)[DENOISER].inputs}
        inputs = {k: v for k, v in context.items() if k in table}
        inputs |= {"noisy": noisy, "modulation": modulation, MASK: speaker[MASK]}
        return engine.run(DENOISER, {**inputs, "guidance": torch.tensor(2.0)})["clean"]

    expected = step(reference, alone, start[1:, :, :own].contiguous())
    found = step(candidate, batch, start)[1:, :, :own]
    errors = compare(found, expected, "padding")
    yield Figure("padded in a batch", 2, 2, own, 2.0, *errors, STEP_BOUND)


def _padded(x: Tensor, axes: tuple[str | int, ...]) -> Tensor:
    """Zeros after the end of the frames, up to the bucket."""
    own, bucket = PADDING_FRAMES
    if "T" not in axes:
        return x
    widths = [0, bucket - own] if axes[-1] == "T" else [0, 0, 0, bucket - own]
    return torch.nn.functional.pad(x, widths)


def verify(
    model: MReactor, candidate: Engine, report: Callable[[Figure], None] | None = None
) -> list[Figure]:
    """All figures of an engine against the reference; `report` sees each as it comes.

    Raises: ParityError with the worst figure, after all were taken.
    """
    reference = reference_engine(model)
    figures = []
    for source in (step_figures, padding_figures, trajectory_figures):
        for figure in source(reference, candidate, model):
            figures.append(figure)
            if report is not None:
                report(figure)
    failed = [figure for figure in figures if not figure.passed]
    if failed:
        worst = max(failed, key=lambda figure: figure.excess)
        raise ParityError(
            f"{len(failed)} of {len(figures)} figures are over their bound; the worst is "
            f"{worst.what} with {worst.clips} clips, {worst.reactions} reactions, "
            f"{worst.frames} frames: relative error {worst.relative:.1e}, bound {worst.bound:.0e}"
        )
    return figures
