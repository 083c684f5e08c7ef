"""Measures how far a case's reactions are from the converged solution, and how good they are.

Every case starts from the same noise, with the same condition. What differs is the error of the
solver alone: the relative L2 distance, in standardised channels over a clip's real frames, of its
reactions from those of the converged case. Solvers that add noise go elsewhere from the same
start: they have measures, and no distance.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mreactor_bench.solvers.rule import (
    CHECKS,
    CONVERGED,
    MEASURES,
    SolverCase,
    SolverRow,
    adds_noise,
)
from mreactor_ref.data.dyads import Dyad
from mreactor_ref.emotion.priors import assign
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.metrics.appropriateness import frcorr, frdist
from mreactor_ref.metrics.diversity import frdiv, frvar
from mreactor_ref.metrics.synchrony import frsyn
from mreactor_ref.model import to_reaction
from mreactor_ref.noise import INITIAL, reaction_noise
from mreactor_ref.sampler import sample
from mreactor_ref.schedule import SolverTable, noise_scales
from mreactor_ref.signals import REACTION, REACTION_ATTRIBUTES
from mreactor_runtime import tensors
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.sampling_options import Sampling

PAIRS = 9  # of calls, in turns, from which the price of guidance comes
CHECKED_CLIPS = 2  # that other ways to the converged solution are tried on
LEAST_CLIPS = 2  # from one clip nothing follows about others

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Encoded:
    """A clip ready to sample.

    Attributes:
        inputs: of a step of sampling, but for noisy, modulation and guidance (B = 1).
        samples, seed: fix the noise of its reactions.
    """

    dyad: Dyad
    inputs: Mapping[str, Tensor]
    samples: int
    seed: int

    def noise(self, step: int) -> Tensor:
        """(1, S, T of the bucket, 83) standard normal, on the CPU."""
        length = self.inputs[tensors.MASK].shape[1]
        ids, numbers = [self.dyad.clip.id], range(self.samples)
        return torch.from_numpy(reaction_noise(self.seed, ids, numbers, step, length, REACTION))


class CaseRunner:
    """Samples clips with any case; the modulations of all timesteps are made once."""

    def __init__(self, reactor: Reactor):
        self.reactor, self.engine = reactor, reactor.engine
        self._specs = tensors.graph_specs(reactor.config)
        timestep = torch.arange(reactor.config.train_steps, device=self.engine.device)
        outputs = self.engine.run(tensors.MODULATOR, {tensors.TIMESTEP: timestep})
        self._modulation = outputs[tensors.MODULATION]

    def encode(self, dyad: Dyad, samples: int, seed: int) -> Encoded:
        """The inputs of a step for a clip. Raises ClipError: it does not fit the model."""
        clip = dyad.clip
        priors = assign(clip.utterances, self.reactor.source, samples, seed, clip.id)
        encoded = self.reactor.encode(clip, priors, Sampling(samples, seed))
        needed = [spec.name for spec in self._specs[tensors.CONDITIONAL].inputs]
        kept = {name: encoded[name] for name in needed if name in encoded}
        return Encoded(dyad, kept, samples, seed)

    def react(self, encoded: Encoded, case: SolverCase) -> Tensor:
        """The standardised reactions (S, T, 83) of a clip, on the CPU.

        Raises: ClipError: they are not finite, and no distance would say so.
        """
        table = self.table(case)
        guided = guided_steps(case, table, self.reactor.config.train_steps)
        device = self.engine.device

        def noise(step: int) -> Tensor:
            return encoded.noise(step).to(device)

        def denoise(x: Tensor, i: int) -> Tensor:
            return self.step(encoded, x, int(table.timesteps[i]), case, guided[i])

        clean = sample(denoise, noise(INITIAL), table, noise)
        reactions = clean[0, :, : encoded.dyad.clip.frames].cpu()
        if not bool(reactions.isfinite().all()):
            raise ClipError(f"{case.name} gives values that are not finite", encoded.dyad.clip.id)
        return reactions

    def step(
        self, encoded: Encoded, x: Tensor, timestep: int, case: SolverCase, guided: bool
    ) -> Tensor:
        """The clean sample at a timestep, (1, S, T, 83); without guidance in half the passes."""
        inputs = {**encoded.inputs, tensors.NOISY: x}
        inputs[tensors.MODULATION] = self._modulation[timestep]
        if not guided:
            return self.engine.run(tensors.CONDITIONAL, inputs)[tensors.CLEAN]
        inputs[tensors.GUIDANCE] = torch.full((), case.solver.guidance_scale, device=x.device)
        return self.engine.run(tensors.DENOISER, inputs)[tensors.CLEAN]

    def table(self, case: SolverCase) -> SolverTable:
        """Raises UsageError: an option out of range."""
        return case.solver.table(self.reactor.config.train_steps)

    def price_of_guidance(self, encoded: Encoded, pairs: int = PAIRS) -> float:
        """The time of a step with guidance over that of one without: median of pairs, in turns."""
        x = encoded.noise(INITIAL).to(self.engine.device)
        case, ratios = SolverCase(replace(CONVERGED, guidance_scale=2.0)), []
        for pair in range(pairs + 1):
            seconds = {guided: self._seconds(encoded, x, case, guided) for guided in (0, 1)}
            if pair:  # the first calls warm up
                ratios.append(seconds[1] / seconds[0])
        return statistics.median(ratios)

    def _seconds(self, encoded: Encoded, x: Tensor, case: SolverCase, guided: int) -> float:
        started = time.perf_counter()
        self.step(encoded, x, 0, case, bool(guided)).sum().item()
        return time.perf_counter() - started


def guided_steps(case: SolverCase, table: SolverTable, train_steps: int) -> list[bool]:
    """Whether each step is guided: its ratio of noise to signal lies in the case's interval."""
    if not case.solver.guided:
        return [False] * len(table)
    if case.guidance_interval is None:
        return [True] * len(table)
    signal, sigma = noise_scales(train_steps)
    low, high = case.guidance_interval
    ratio = (sigma / signal)[table.timesteps]
    return ((low <= ratio) & (ratio <= high)).tolist()


@dataclass(frozen=True)
class Measured:
    """The measured figures.

    Attributes:
        rows: one for each case.
        checks: other ways to the converged solution: name -> distance from it, by clip.
        clips: how many there was time for.
    """

    rows: tuple[SolverRow, ...]
    checks: dict[str, tuple[float, ...]]
    clips: int


def measure_cases(
    runner: CaseRunner,
    dyads: Sequence[Dyad],
    cases: Sequence[SolverCase],
    *,
    samples: int,
    seed: int = 0,
    seconds: float = math.inf,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Measured:
    """Sample and score each clip with each case; the checks on the first clips alone.

    Args:
        cases: with the converged one of each guidance scale.
        seconds: no clip is started after so long, but for the first two.
    Raises:
        UsageError: fewer than two clips, or a speaker has no face.
        ClipError: a clip does not fit the model, or its reactions are not finite.
        ValueError: a converged case is missing.
    """
    if len(dyads) < LEAST_CLIPS:
        raise UsageError(f"{len(dyads)} clip is too few: clips are compared", fix="give more")
    cases = sorted(cases, key=lambda case: not case.is_converged)
    rows = {case: _Values([], []) for case in cases}
    checks: dict[str, list[float]] = {case.name: [] for case in CHECKS}
    started, clips = clock(), 0
    for dyad in dyads:
        if clips >= LEAST_CLIPS and clock() - started > seconds:
            break
        encoded = runner.encode(dyad, samples, seed)
        reactions: dict[SolverCase, Tensor] = {}
        for case in cases:
            reactions[case] = runner.react(encoded, case)
            rows[case].measures.append(score(natural(runner.reactor, reactions[case]), dyad))
            if not adds_noise(case.solver.scheduler):
                rows[case].distances.append(_from_converged(case, reactions))
            if progress is not None:
                done, of = clips * len(cases) + len(reactions), len(dyads) * len(cases)
                progress("sample and score", done, of)
        for case in CHECKS if clips < CHECKED_CLIPS else ():
            reactions[case] = runner.react(encoded, case)
            checks[case.name].append(distance(reactions[case], reactions[SolverCase(CONVERGED)]))
        clips += 1
    return Measured(
        tuple(_row(runner, case, values) for case, values in rows.items()),
        {name: tuple(values) for name, values in checks.items()},
        clips,
    )


@dataclass(frozen=True)
class _Values:
    """Of one case, by clip."""

    distances: list[float]
    measures: list[dict[str, float]]


def _row(runner: CaseRunner, case: SolverCase, values: _Values) -> SolverRow:
    guided = guided_steps(case, runner.table(case), runner.reactor.config.train_steps)
    measures = {name: tuple(m[name] for m in values.measures) for name in MEASURES}
    return SolverRow(case, sum(guided), tuple(values.distances), measures)


def _from_converged(case: SolverCase, reactions: Mapping[SolverCase, Tensor]) -> float:
    if case.converged not in reactions:
        raise ValueError(f"{case.converged.name} must be measured, too")
    return distance(reactions[case], reactions[case.converged])


def distance(ours: Tensor, converged: Tensor) -> float:
    """Relative L2."""
    return float((ours - converged).norm() / converged.norm())


def natural(reactor: Reactor, reactions: Tensor) -> NDArray[np.float32]:
    """Attributes (S, T, 25) in natural units, of standardised reactions (S, T, 83)."""
    mean, std = reactor.model.reaction_mean, reactor.model.reaction_std
    return to_reaction(reactions, mean, std)[..., REACTION_ATTRIBUTES].numpy()


def score(attributes: NDArray[np.float32], dyad: Dyad) -> dict[str, float]:
    """The challenge's measures of one clip's reactions; FRDvs compares clips, and is left out."""
    if dyad.clip.attributes is None:
        raise UsageError("has no attributes, which FRSyn needs", dyad.clip.id)
    real = [[r[:, REACTION_ATTRIBUTES] for r in dyad.appropriate or dyad.reactions]]
    return {
        "FRCorr": frcorr([attributes], real),
        "FRDist": frdist([attributes], real),
        "FRDiv": frdiv([attributes]),
        "FRVar": frvar([attributes]),
        "FRSyn": frsyn([attributes], [dyad.clip.attributes], dyad.clip.fps),
    }
