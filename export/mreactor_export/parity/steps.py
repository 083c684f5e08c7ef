"""Figures of single calls: every graph against the references, and every row against itself.

The rows of a batch against each row alone, equal rows against each other, and padded clips against
the same clips unpadded: what a builder's bug, or a kernel's, is first seen by.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from mreactor_export.parity.calls import call, clean_of, step_inputs
from mreactor_export.parity.cases import GUIDANCE, Sizes
from mreactor_export.parity.figures import EQUAL, ITSELF, PADDING, ROWS, STEP, Figure, compare_all
from mreactor_export.parity.setup import Setup
from mreactor_export.parity.speakers import Tensors, noise, padded, part, random_speaker
from mreactor_ref.denoiser import guide
from mreactor_runtime.engines.engine import Engine
from mreactor_runtime.tensors import (
    CONDITIONAL,
    DENOISER,
    ENCODER,
    MASK,
    MODULATOR,
    STEPPING,
    TIMESTEP,
)

TIMESTEPS = (999, 500, 20)  # early, in the middle, late
ROW_GUIDANCE = 2.0
OTHER_CONTENT = 3.0  # what padded frames are filled with, in deviations

Compared = Iterator[tuple[str, Tensor, Tensor]]


def step_figures(setup: Setup) -> Iterator[Figure]:
    """Every graph at every size: one call each, all engines and references on the same inputs."""
    for sizes in setup.cases.steps:
        speaker = random_speaker(setup.model, sizes)
        yield from _once(setup, ENCODER, sizes, speaker)
        timesteps = {TIMESTEP: torch.tensor(TIMESTEPS)}
        yield from _once(setup, MODULATOR, sizes, timesteps)
        timestep = TIMESTEPS[sizes.seed % len(TIMESTEPS)]
        context = {name: x.float() for name, x in setup.exact.run(ENCODER, speaker).items()}
        step = step_inputs(noise(sizes), setup.modulation(timestep), 1.0)
        inputs = {**context, **step, MASK: speaker[MASK]}
        branches = {r.name: r.branches(inputs) for r in setup.references}
        for scale in (None, *GUIDANCE):
            yield from _step(setup, sizes, inputs, branches, scale)


def _once(setup: Setup, graph: str, sizes: Sizes, inputs: Tensors) -> Iterator[Figure]:
    """A graph that is no step."""
    expected = {r.name: r.run(graph, inputs) for r in setup.references}
    for name, engine in setup.engines(sizes.frames):

        def compared(name: str = name, engine: Engine = engine) -> Compared:
            results = call(engine, name, setup.specs[graph], inputs)
            for against, outputs in expected.items():
                yield from ((against, results[key], outputs[key]) for key in outputs)

        label = setup.label(name, STEP, graph, sizes)
        yield compare_all(label, setup.bound(STEP, graph), compared)


def _step(
    setup: Setup,
    sizes: Sizes,
    inputs: Tensors,
    branches: dict[str, tuple[Tensor, Tensor]],
    scale: float | None,
) -> Iterator[Figure]:
    """One step at a scale of guidance; None is the graph without the branch that it needs."""
    graph = CONDITIONAL if scale is None else DENOISER
    step = inputs if scale is None else inputs | {"guidance": torch.tensor(scale)}
    for name, engine in setup.engines(sizes.frames):

        def compared(name: str = name, engine: Engine = engine) -> Compared:
            (clean,) = call(engine, name, setup.specs[graph], step).values()
            for against, (without, with_speaker) in branches.items():
                wanted = with_speaker if scale is None else guide(without, with_speaker, scale)
                yield against, clean, wanted

        label = setup.label(name, STEP, graph, sizes, scale)
        yield compare_all(label, setup.bound(STEP, graph), compared)


def row_figures(setup: Setup) -> Iterator[Figure]:
    """Batches from the streams to the clean sample: each row alone, and rows that are equal."""
    for sizes in setup.cases.rows:
        speaker, start = random_speaker(setup.model, sizes), noise(sizes)
        for name, engine in setup.engines(sizes.frames):
            for graph in STEPPING:
                yield _rows(setup, name, engine, graph, sizes, speaker, start)
                yield _equal(setup, name, engine, graph, sizes, speaker, start)


def _rows(
    setup: Setup,
    name: str,
    engine: Engine,
    graph: str,
    sizes: Sizes,
    speaker: Tensors,
    start: Tensor,
) -> Figure:
    """Every row, one clip's one reaction, in the batch and alone."""
    spec, modulation = setup.specs[ENCODER], setup.modulation(500)

    def clean(streams: Tensors, noisy: Tensor) -> Tensor:
        step = step_inputs(noisy, modulation, ROW_GUIDANCE)
        return clean_of(engine, name, setup.specs, graph, streams, step)

    def compared() -> Compared:
        batch = clean(speaker, start)
        for b in range(sizes.clips):
            for s in range(sizes.reactions):
                alone = part(part(speaker, spec, "B", [b]), spec, "S", [s])
                lone = clean(alone, start[b : b + 1, s : s + 1].contiguous())
                yield ITSELF, batch[b, s], lone[0, 0]

    scale = ROW_GUIDANCE if graph == DENOISER else None
    return compare_all(
        setup.label(name, ROWS, graph, sizes, scale), setup.bound(STEP, graph), compared
    )


def _equal(
    setup: Setup,
    name: str,
    engine: Engine,
    graph: str,
    sizes: Sizes,
    speaker: Tensors,
    start: Tensor,
) -> Figure:
    """A batch of one clip and one reaction again and again: every row against the first."""
    spec = setup.specs[ENCODER]
    same = part(speaker, spec, "B", [sizes.clips - 1] * sizes.clips)
    same = part(same, spec, "S", [0] * sizes.reactions)
    noisy = start[:1, :1].repeat(sizes.clips, sizes.reactions, 1, 1)

    def compared() -> Compared:
        step = step_inputs(noisy, setup.modulation(500), ROW_GUIDANCE)
        clean = clean_of(engine, name, setup.specs, graph, same, step)
        yield ITSELF, clean, clean[:1, :1].expand_as(clean)

    scale = ROW_GUIDANCE if graph == DENOISER else None
    return compare_all(
        setup.label(name, EQUAL, graph, sizes, scale), setup.bound(STEP, graph), compared
    )


def padding_figures(setup: Setup) -> Iterator[Figure]:
    """A clip padded in a batch: against the references' unpadded, whatever the padding holds."""
    for frames, longer in setup.cases.padding:
        for graph in STEPPING:
            yield from _padding(setup, graph, frames, longer)


def _padding(setup: Setup, graph: str, frames: int, longer: int) -> Iterator[Figure]:
    spec, modulation = setup.specs[ENCODER], setup.modulation(500)
    scale = ROW_GUIDANCE if graph == DENOISER else 1.0
    alone, other = (random_speaker(setup.model, Sizes(1, 2, t)) for t in (frames, longer))
    long = padded(alone, spec, longer)
    batch = {key: torch.cat((other[key], long[key])) for key in long}
    filled = _fill(batch, 1, frames)
    start = noise(Sizes(2, 2, longer))
    short = step_inputs(start[1:, :, :frames].contiguous(), modulation, scale)
    expected = {}
    for reference in setup.references:
        context = reference.run(ENCODER, alone)
        expected[reference.name] = reference.clean({**context, **short, MASK: alone[MASK]}, scale)
    noisy = start.clone()
    noisy[1, :, frames:] = OTHER_CONTENT
    for name, engine in setup.engines(longer):

        def compared(name: str = name, engine: Engine = engine) -> Compared:
            for speaker, noise_given in ((batch, start), (filled, noisy)):
                step = step_inputs(noise_given, modulation, scale)
                clean = clean_of(engine, name, setup.specs, graph, speaker, step)
                for against, wanted in expected.items():
                    yield against, clean[1:, :, :frames], wanted

        label = setup.label(
            name, PADDING, graph, Sizes(2, 2, frames), scale if graph == DENOISER else None
        )
        yield compare_all(label, setup.bound(STEP, graph), compared)


def _fill(speaker: Tensors, row: int, frames: int) -> Tensors:
    """The padded frames of a clip with something in them: no real frame may see it."""
    filled = {name: x.clone() for name, x in speaker.items()}
    for name in ("sound", "words", "coefficients", "attributes"):
        filled[name][row, frames:] = OTHER_CONTENT
    filled["emotion"][row, :, frames:] = 1
    filled["affect"][row, :, frames:] = 1.0
    return filled
