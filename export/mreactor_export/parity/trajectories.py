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
    About,
    Curve,
    Figure,
    ParityError,
    compare,
    take,
)
from mreactor_export.parity.reference import Reference
from mreactor_export.parity.rig import Rig
from mreactor_export.parity.speakers import Tensors, clip_speaker, noise, random_speaker
from mreactor_ref.sampler import sample
from mreactor_ref.schedule import LOG_SNR, SolverTable, solver_table
from mreactor_ref.signals import SpeakerClip
from mreactor_runtime.engines.engine import Engine
from mreactor_runtime.engines.reference import step_graph
from mreactor_runtime.tensors import CONDITION, ENCODER, KEYS, MASK, MODULATION, MODULATOR, TIMESTEP


@dataclass(frozen=True)
class Path:
    """A trajectory: the end, and the clean samples that each step predicted, (B, S, T, 83)."""

    end: Tensor
    clean: tuple[Tensor, ...]


def table_of(model_steps: int, steps: int, solver: Solver) -> SolverTable:
    """The one table of all names of a solver."""
    names, spacing = solver
    return solver_table(names[0], steps, model_steps, timestep_spacing=spacing)


def walk(
    denoise: Callable[[Tensor, int], Tensor], sizes: Sizes, table: SolverTable, dtype: torch.dtype
) -> Path:
    """The reference's own loop over any `denoise`, with the noise of the sizes."""
    seen: list[Tensor] = []

    def remember(x: Tensor, i: int) -> Tensor:
        seen.append(denoise(x, i))
        return seen[-1]

    end = sample(remember, noise(sizes).to(dtype), table, lambda i: noise(sizes, i).to(dtype))
    return Path(end, tuple(seen))


def reference_path(
    reference: Reference, speaker: Tensors, sizes: Sizes, table: SolverTable, guidance: float
) -> Path:
    """A trajectory of the reference, all in its type."""
    context = reference.run(ENCODER, speaker)
    timesteps = torch.from_numpy(table.timesteps.copy())
    modulation = reference.run(MODULATOR, {TIMESTEP: timesteps})[MODULATION]

    def denoise(x: Tensor, i: int) -> Tensor:
        step = step_inputs(x, modulation[i], guidance)
        return reference.clean({**context, **step, MASK: speaker[MASK]}, guidance)

    return walk(denoise, sizes, table, reference.dtype)


def engine_path(
    rig: Rig,
    name: str,
    engine: Engine,
    speaker: Tensors,
    sizes: Sizes,
    table: SolverTable,
    guidance: float,
) -> Path:
    """A trajectory of an engine as a run makes it: without guidance by the graph without.

    Raises: ParityError as `call` does.
    """
    context = call(engine, name, rig.specs[ENCODER], speaker)
    if KEYS in context:
        context.pop(CONDITION, None)
    timesteps = {TIMESTEP: torch.from_numpy(table.timesteps.copy())}
    modulation = call(engine, name, rig.specs[MODULATOR], timesteps)[MODULATION]
    held = {k: x.to(engine.device) for k, x in {**context, MASK: speaker[MASK]}.items()}
    spec = rig.specs[step_graph(guidance)]

    def denoise(x: Tensor, i: int) -> Tensor:
        (clean,) = call(engine, name, spec, held | step_inputs(x, modulation[i], guidance)).values()
        return clean

    return walk(denoise, sizes, table, torch.float32)


def trajectory_figures(
    rig: Rig, clips: Sequence[SpeakerClip], curve: Callable[[Curve], None]
) -> Iterator[Figure]:
    """Trajectories from random features, then from those of clips.

    Args:
        curve: hears the error over the steps of each trajectory, once for all names of a solver.
    """
    for case in rig.cases.trajectories:
        speaker = random_speaker(rig.model, case.sizes)
        yield from _figures(rig, case, speaker, None, curve)
    for count, most in rig.cases.clips if clips else ():
        some = clips[:count]
        for turn, (steps, solver, guidance) in enumerate(rig.cases.real):
            clip = some[turn % len(some)]
            sizes = Sizes(1, 1, min(clip.frames, most))
            speaker = clip_speaker(rig.model, [clip], sizes)
            case = Trajectory(sizes, steps, solver, guidance)
            yield from _figures(rig, case, speaker, clip.id, curve)


def _figures(
    rig: Rig,
    case: Trajectory,
    speaker: Tensors,
    clip: str | None,
    curve: Callable[[Curve], None],
) -> Iterator[Figure]:
    table = table_of(rig.model.config.train_steps, case.steps, case.solver)
    mask, bound = speaker[MASK], rig.bound(TRAJECTORY, step_graph(case.guidance))
    given = speaker, case.sizes, table, case.guidance
    paths = {r.name: reference_path(r, *given) for r in rig.references}
    for name, engine in rig.engines(case.sizes.frames):
        about = rig.about(name, TRAJECTORY, label(case), case.sizes, case.guidance)
        if clip is not None:
            about = replace(about, features=clip)
        try:
            found = engine_path(rig, name, engine, *given)
        except ParityError as fault:
            yield Figure(**vars(about), bound=bound, fault=fault)
            continue
        curve(_curve(about, found, paths[FLOAT64], mask, bound))
        ends = [(key, real(found.end, mask), real(p.end, mask)) for key, p in paths.items()]
        for own in case.solver[0]:
            named = replace(about, what=label(replace(case, solver=((own,), case.solver[1]))))
            yield take(named, bound, lambda ends=ends: ends)


def label(case: Trajectory) -> str:
    """As "20 steps dpmsolver++ logsnr"."""
    names, spacing = case.solver
    return f"{case.steps} steps {', '.join(names)}{' logsnr' if spacing == LOG_SNR else ''}"


def real(x: Tensor, mask: Tensor) -> Tensor:
    """Only the real frames: x (B, S, T, C), mask (B, T) -> (S, frames of all clips, C)."""
    return x.transpose(0, 1)[:, mask]


def _curve(about: About, found: Path, exact: Path, mask: Tensor, bound: float) -> Curve:
    errors = [
        compare(real(a, mask), real(b, mask)).relative
        for a, b in zip(found.clean, exact.clean, strict=True)
    ]
    return Curve(about, tuple(float(np.float32(error)) for error in errors), bound)
