"""Cases, each a solver and where it is guided, and the rule that picks one by their figures.

The rule: the cheapest case that is no farther from the converged solution than DDIM with 50
trailing steps, as published samplers run, and whose measures are not worse than those. Clips are
the unit: the interval of a mean difference comes from drawing clips again, with replacement.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mreactor_ref.schedule import LOG_SNR, SCHEDULERS, SPACINGS, TRAILING, Solver
from mreactor_runtime.sampling_options import changed

# All timesteps of training, second order; a step with guidance costs more.
CONVERGED = Solver("dpmsolver++", 1000, guidance_scale=1.0, timestep_spacing=TRAILING)
GUIDED_CONVERGED = Solver("dpmsolver++", 200, guidance_scale=1.0, timestep_spacing=LOG_SNR)
PUBLISHED = Solver("ddim", 50, guidance_scale=1.0, timestep_spacing=TRAILING)
STEPS = (5, 8, 10, 12, 15, 20, 25, 50)
NOISY_STEPS = (10, 20, 50)  # of solvers that add noise
GUIDED_STEPS = (10, 20)
# Of noise over signal, which falls from some 20,000 to 0 over the sampling. What kind of reaction
# it is, is settled above 100; below 1 there is more signal than noise.
INTERVALS = ((0.0, 100.0), (1.0, 100.0), (1.0, math.inf), (100.0, math.inf))

# Whether more is better.
MEASURES = {"FRCorr": True, "FRDist": False, "FRDiv": True, "FRVar": True, "FRSyn": False}
DRAWS, LEVEL = 10_000, 95.0  # of the bootstrap; percent


@dataclass(frozen=True)
class SolverCase:
    """A solver to measure.

    Attributes:
        guidance_interval: least and largest ratio of noise to signal of a step that is guided;
            the other steps have no guidance. None is all steps.
    """

    solver: Solver
    guidance_interval: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        solver = self.solver
        text = f"{solver.scheduler} {solver.timestep_spacing} {solver.steps}"
        if solver.guided:
            text += f" g{solver.guidance_scale:g}"
        if self.guidance_interval is not None:
            low, high = self.guidance_interval
            text += f" in {low:g} to {high:g}"
        return text

    @property
    def converged(self) -> SolverCase:
        """The case that it is held against: every step of that is guided."""
        if not self.solver.guided:
            return SolverCase(CONVERGED)
        scale = self.solver.guidance_scale
        return SolverCase(replace(GUIDED_CONVERGED, guidance_scale=scale))

    @property
    def is_converged(self) -> bool:
        return self == self.converged


@dataclass(frozen=True)
class SolverRow:
    """The figures of a case, by clip.

    Attributes:
        guided_steps: how many of its steps have the second branch.
        distances: from the converged solution; none where the solver adds noise.
        measures: name -> value of each clip.
    """

    case: SolverCase
    guided_steps: int
    distances: tuple[float, ...]
    measures: dict[str, tuple[float, ...]]

    @property
    def distance(self) -> float | None:
        """Mean over clips."""
        return float(np.mean(self.distances)) if self.distances else None

    def mean(self, measure: str) -> float:
        return float(np.mean(self.measures[measure]))

    def cost(self, price: float) -> float:
        """In steps without guidance; one with it costs `price` of them."""
        return self.case.solver.steps + (price - 1) * self.guided_steps


@dataclass(frozen=True)
class Interval:
    """A mean over clips, and where it lies with a confidence of LEVEL percent."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """A case held against the published sampler.

    Attributes:
        distance: how much farther it is from the converged solution; negative is nearer.
        changes: measure -> how much larger it is than the published sampler's.
        departures: measure -> how much larger it is than the converged solution's.
    """

    row: SolverRow
    distance: Interval
    changes: dict[str, Interval]
    departures: dict[str, Interval]

    @property
    def is_farther(self) -> bool:
        """On these clips."""
        return self.distance.mean > 0

    @property
    def is_in_doubt(self) -> bool:
        """Nearer on these clips, but other clips might say otherwise."""
        return self.distance.mean <= 0 < self.distance.high

    @property
    def worse(self) -> tuple[str, ...]:
        """Measures that are clearly worse than the published sampler's and the converged one's."""
        return tuple(
            name
            for name, change in self.changes.items()
            if is_worse(name, change) and is_worse(name, self.departures[name])
        )

    @property
    def passes(self) -> bool:
        return not (self.is_farther or self.is_in_doubt or self.worse)


def is_worse(measure: str, change: Interval) -> bool:
    """Whether the whole interval is on the bad side."""
    return change.high < 0 if MEASURES[measure] else change.low > 0


# Other ways to the same solution, which show that the converged ones are converged.
CHECKS = (SolverCase(replace(CONVERGED, scheduler="ddim")), SolverCase(GUIDED_CONVERGED))


def default_cases(
    steps: Sequence[int] = STEPS, guidance_scale: float = 1.5, train_steps: int = 1000
) -> list[SolverCase]:
    """All different solvers and spacings, some with guidance, and those they are held against.

    Schedulers that are the same line under another name, such as "euler" and "ddim", appear once.

    Args:
        guidance_scale: of the cases with guidance; 1 leaves them out.
    """
    solvers = [CONVERGED, PUBLISHED]
    for scheduler in SCHEDULERS:
        counts = NOISY_STEPS if adds_noise(scheduler) else steps
        solvers += [
            replace(PUBLISHED, scheduler=scheduler, timestep_spacing=spacing, steps=count)
            for spacing in SPACINGS
            for count in counts
        ]
    cases = [SolverCase(solver) for solver in solvers]
    if guidance_scale != 1:
        published = SolverCase(replace(PUBLISHED, guidance_scale=guidance_scale))
        converged = published.converged
        guided = [changed(converged, steps=count) for count in GUIDED_STEPS]
        cases += [converged, published, *guided]
        cases += [replace(guided[-1], guidance_interval=bounds) for bounds in INTERVALS]
    return _different(cases, train_steps)


def adds_noise(scheduler: str) -> bool:
    """Whether a solver draws noise on its way."""
    return bool(Solver(scheduler, steps=2).table().rows[:, 3].any())


def _different(cases: Iterable[SolverCase], train_steps: int) -> list[SolverCase]:
    """The first of each kind of cases that do exactly the same."""
    kinds: dict[tuple[object, ...], SolverCase] = {}
    for case in cases:
        table = case.solver.table(train_steps)
        key = (table.timesteps.tobytes(), table.rows.tobytes())
        kinds.setdefault((*key, case.solver.guidance_scale, case.guidance_interval), case)
    return list(kinds.values())


def interval(differences: Sequence[float], seed: int = 0) -> Interval:
    """The mean of a difference over clips, by drawing clips again (percentile bootstrap)."""
    values = np.asarray(differences, np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(values), (DRAWS, len(values)))
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(values[drawn].mean(axis=1), [tail, 100 - tail])
    return Interval(float(values.mean()), float(low), float(high))


def judge(row: SolverRow, published: SolverRow, converged: SolverRow) -> Verdict:
    """Hold a deterministic case against two others on the same clips."""

    def change(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
        return interval([a - b for a, b in zip(ours, theirs, strict=True)])

    return Verdict(
        row,
        change(row.distances, published.distances),
        {name: change(row.measures[name], published.measures[name]) for name in MEASURES},
        {name: change(row.measures[name], converged.measures[name]) for name in MEASURES},
    )


def verdicts(rows: Iterable[SolverRow], guidance_scale: float = 1.0) -> list[Verdict]:
    """Of the deterministic cases of a guidance scale, but for the converged ones.

    Raises: ValueError where the published sampler or the converged one was not measured.
    """
    of_scale = {
        row.case: row
        for row in rows
        if row.case.solver.guidance_scale == guidance_scale and row.distances
    }
    held = SolverCase(replace(PUBLISHED, guidance_scale=guidance_scale))
    for needed in (held, held.converged):
        if needed not in of_scale:
            raise ValueError(f"{needed.name} was not measured")
    published, converged = of_scale[held], of_scale.pop(held.converged)
    return [judge(row, published, converged) for row in of_scale.values()]


def choose(verdicts: Iterable[Verdict], price: float) -> Verdict:
    """The cheapest that passes, the nearer of two; the published sampler itself always passes."""
    passing = [verdict for verdict in verdicts if verdict.passes]
    return min(passing, key=lambda v: (v.row.cost(price), v.distance.mean))
