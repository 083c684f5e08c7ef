"""Figures of whole trajectories: from the same noise, each engine with its own encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mreactor_export.parity.calls import call, step_inputs
from mreactor_export.parity.cases import Sizes, Solver, Trajectory
from mreactor_export.parity.figures import (
    FLOAT64,
    TRAJECTORY,
    Curve,
    Figure,
    FigureLabel,
    ParityError,
    compare,
    compare_all,
)
from mreactor_export.parity.reference import Reference
from mreactor_export.parity.setup import Setup
from mreactor_export.parity.speakers import Tensors, clip_speaker, noise, random_speaker
from mreactor_ref.sampler import sample
from mreactor_ref.schedule import LOG_SNR, SolverTable, solver_table
from mreactor_ref.signals import SpeakerClip
from mreactor_runtime.engines.engine import Engine
from mreactor_runtime.engines.reference import step_graph
from mreactor_runtime.tensors import CONDITION, ENCODER, KEYS, MASK, MODULATION, MODULATOR, TIMESTEP


@dataclass(frozen=True)
class Sampled:
    """A sampled trajectory: its end, and the clean sample at each step, (B, S, T, 83) each."""

    end: Tensor
    clean: tuple[Tensor, ...]


def table_of(model_steps: int, steps: int, solver: Solver) -> SolverTable:
    """The one table of all names of a solver."""
    names, spacing = solver
    return solver_table(names[0], steps, model_steps, timestep_spacing=spacing)


def sample_steps(
    denoise: Callable[[Tensor, int], Tensor], sizes: Sizes, table: SolverTable, dtype: torch.dtype
) -> Sampled:
    """The reference's own loop over any `denoise`, with the noise of the sizes."""
    clean: list[Tensor] = []

    def remember(x: Tensor, i: int) -> Tensor:
        clean.append(denoise(x, i))
        return clean[-1]

    end = sample(remember, noise(sizes).to(dtype), table, lambda i: noise(sizes, i).to(dtype))
    return Sampled(end, tuple(clean))


def sample_reference(
    reference: Reference, speaker: Tensors, sizes: Sizes, table: SolverTable, guidance: float
) -> Sampled:
    """A trajectory of the reference, all in its type."""
    context = reference.run(ENCODER, speaker)
    timesteps = torch.from_numpy(table.timesteps.copy())
    modulation = reference.run(MODULATOR, {TIMESTEP: timesteps})[MODULATION]

    def denoise(x: Tensor, i: int) -> Tensor:
        step = step_inputs(x, modulation[i], guidance)
        return reference.clean({**context, **step, MASK: speaker[MASK]}, guidance)

    return sample_steps(denoise, sizes, table, reference.dtype)


def sample_engine(
    setup: Setup,
    name: str,
    engine: Engine,
    speaker: Tensors,
    sizes: Sizes,
    table: SolverTable,
    guidance: float,
) -> Sampled:
    """A trajectory of an engine as a run makes it: without guidance by the graph without.

    Raises: ParityError as `call` does.
    """
    context = call(engine, name, setup.specs[ENCODER], speaker)
    if KEYS in context:
        context.pop(CONDITION, None)
    timesteps = {TIMESTEP: torch.from_numpy(table.timesteps.copy())}
    modulation = call(engine, name, setup.specs[MODULATOR], timesteps)[MODULATION]
    shared = {k: x.to(engine.device) for k, x in {**context, MASK: speaker[MASK]}.items()}
    spec = setup.specs[step_graph(guidance)]

    def denoise(x: Tensor, i: int) -> Tensor:
        step = step_inputs(x, modulation[i], guidance)
        (clean,) = call(engine, name, spec, shared | step).values()
        return clean

    return sample_steps(denoise, sizes, table, torch.float32)


def trajectory_figures(
    setup: Setup, clips: Sequence[SpeakerClip], curve: Callable[[Curve], None]
) -> Iterator[Figure]:
    """Trajectories from random features, then from those of clips.

    Args:
        curve: hears the error over the steps of each trajectory, once for all names of a solver.
    """
    for case in setup.cases.trajectories:
        speaker = random_speaker(setup.model, case.sizes)
        yield from _figures(setup, case, speaker, None, curve)
    for count, most in setup.cases.clips if clips else ():
        some = clips[:count]
        for turn, (steps, solver, guidance) in enumerate(setup.cases.real):
            clip = some[turn % len(some)]
            sizes = Sizes(1, 1, min(clip.frames, most))
            speaker = clip_speaker(setup.model, [clip], sizes)
            case = Trajectory(sizes, steps, solver, guidance)
            yield from _figures(setup, case, speaker, clip.id, curve)


def _figures(
    setup: Setup,
    case: Trajectory,
    speaker: Tensors,
    clip: str | None,
    curve: Callable[[Curve], None],
) -> Iterator[Figure]:
    table = table_of(setup.model.config.train_steps, case.steps, case.solver)
    mask, bound = speaker[MASK], setup.bound(TRAJECTORY, step_graph(case.guidance))
    inputs = speaker, case.sizes, table, case.guidance
    expected = {r.name: sample_reference(r, *inputs) for r in setup.references}
    for name, engine in setup.engines(case.sizes.frames):
        label = setup.label(name, TRAJECTORY, case_name(case), case.sizes, case.guidance)
        if clip is not None:
            label = replace(label, features=clip)
        try:
            sampled = sample_engine(setup, name, engine, *inputs)
        except ParityError as fault:
            yield Figure(**vars(label), bound=bound, fault=fault)
            continue
        curve(_curve(label, sampled, expected[FLOAT64], mask, bound))
        end = real(sampled.end, mask)
        ends = [(against, end, real(other.end, mask)) for against, other in expected.items()]
        names, spacing = case.solver
        for solver in names:
            what = case_name(replace(case, solver=((solver,), spacing)))
            yield compare_all(replace(label, what=what), bound, lambda ends=ends: ends)


def case_name(case: Trajectory) -> str:
    """As "20 steps dpmsolver++ logsnr"."""
    names, spacing = case.solver
    return f"{case.steps} steps {', '.join(names)}{' logsnr' if spacing == LOG_SNR else ''}"


def real(x: Tensor, mask: Tensor) -> Tensor:
    """Only the real frames: x (B, S, T, C), mask (B, T) -> (S, frames of all clips, C)."""
    return x.transpose(0, 1)[:, mask]


def _curve(
    label: FigureLabel, sampled: Sampled, exact: Sampled, mask: Tensor, bound: float
) -> Curve:
    errors = [
        compare(real(a, mask), real(b, mask)).relative
        for a, b in zip(sampled.clean, exact.clean, strict=True)
    ]
    return Curve(label, tuple(float(np.float32(error)) for error in errors), bound)
