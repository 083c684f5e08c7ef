"""Settings of the sampler, what was measured of each, and the rule that picks one.

The rule: the cheapest setting that is no farther from the converged solution than DDIM with 50
trailing steps, as published samplers run, and whose measures are not worse than those. Clips are
the unit: the interval of a mean difference comes from drawing clips again, with replacement.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mreactor_ref.schedule import LOG_SNR, SCHEDULERS, SPACINGS, TRAILING, solver_table

CONVERGED = ("dpmsolver++", TRAILING, 1000)  # all timesteps of training, second order
GUIDED_CONVERGED = ("dpmsolver++", LOG_SNR, 200)  # a step with guidance costs more
PUBLISHED = ("ddim", TRAILING, 50)
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
class Setting:
    """What a run of the sampler is told.

    Attributes:
        guidance_interval: least and largest ratio of noise to signal of a step that is guided;
            the other steps have no guidance. None is all steps.
    """

    scheduler: str
    timestep_spacing: str
    steps: int
    guidance_scale: float = 1.0
    guidance_interval: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        text = f"{self.scheduler} {self.timestep_spacing} {self.steps}"
        if self.guidance_scale != 1:
            text += f" g{self.guidance_scale:g}"
        if self.guidance_interval is not None:
            low, high = self.guidance_interval
            text += f" in {low:g} to {high:g}"
        return text

    @property
    def converged(self) -> Setting:
        """What it is held against: every step of that is guided."""
        if self.guidance_scale == 1:
            return Setting(*CONVERGED)
        return Setting(*GUIDED_CONVERGED, guidance_scale=self.guidance_scale)

    @property
    def published(self) -> Setting:
        """The published sampler's, at the same guidance."""
        return Setting(*PUBLISHED, guidance_scale=self.guidance_scale)

    @property
    def is_converged(self) -> bool:
        return self == self.converged


@dataclass(frozen=True)
class Row:
    """What was measured of a setting, by clip.

    Attributes:
        guided_steps: how many of its steps have the second branch.
        distances: from the converged solution; none where the solver adds noise.
        measures: name -> value of each clip.
    """

    setting: Setting
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
        return self.setting.steps + (price - 1) * self.guided_steps


@dataclass(frozen=True)
class Interval:
    """A mean over clips, and where it lies with a confidence of LEVEL percent."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """A setting held against the published sampler.

    Attributes:
        distance: how much farther it is from the converged solution; negative is nearer.
        changes: measure -> how much larger it is than the published sampler's.
        departures: measure -> how much larger it is than the converged solution's.
    """

    row: Row
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
CHECKS = (Setting("ddim", TRAILING, 1000), Setting(*GUIDED_CONVERGED))


def default_settings(
    steps: Sequence[int] = STEPS, guidance_scale: float = 1.5, train_steps: int = 1000
) -> list[Setting]:
    """All different solvers and spacings, some with guidance, and what they are held against.

    Schedulers that are the same line under another name, such as "euler" and "ddim", appear once.

    Args: guidance_scale: of the settings with guidance; 1 leaves them out.
    """
    held = Setting(*PUBLISHED)
    found = [held.converged, held]
    for scheduler in SCHEDULERS:
        counts = NOISY_STEPS if adds_noise(scheduler) else steps
        found += [Setting(scheduler, spacing, n) for spacing in SPACINGS for n in counts]
    if guidance_scale != 1:
        guided = replace(held, guidance_scale=guidance_scale)
        found += [guided.converged, guided]
        found += [Setting("dpmsolver++", LOG_SNR, n, guidance_scale) for n in GUIDED_STEPS]
        found += [replace(found[-1], guidance_interval=bounds) for bounds in INTERVALS]
    return _different(found, train_steps)


def adds_noise(scheduler: str) -> bool:
    """Whether a solver draws noise on its way."""
    return bool(solver_table(scheduler, 2).rows[:, 3].any())


def _different(settings: Iterable[Setting], train_steps: int) -> list[Setting]:
    """The first of each kind of settings that do exactly the same."""
    found: dict[tuple[object, ...], Setting] = {}
    for setting in settings:
        table = solver_table(
            *(setting.scheduler, setting.steps, train_steps),
            timestep_spacing=setting.timestep_spacing,
        )
        key = (table.timesteps.tobytes(), table.rows.tobytes())
        found.setdefault((*key, setting.guidance_scale, setting.guidance_interval), setting)
    return list(found.values())


def interval(differences: Sequence[float], seed: int = 0) -> Interval:
    """The mean of a difference over clips, by drawing clips again (percentile bootstrap)."""
    values = np.asarray(differences, np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(values), (DRAWS, len(values)))
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(values[drawn].mean(axis=1), [tail, 100 - tail])
    return Interval(float(values.mean()), float(low), float(high))


def judge(row: Row, published: Row, converged: Row) -> Verdict:
    """Hold a deterministic setting against two others on the same clips."""

    def change(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
        return interval([a - b for a, b in zip(ours, theirs, strict=True)])

    return Verdict(
        row,
        change(row.distances, published.distances),
        {name: change(row.measures[name], published.measures[name]) for name in MEASURES},
        {name: change(row.measures[name], converged.measures[name]) for name in MEASURES},
    )


def verdicts(rows: Iterable[Row], guidance_scale: float = 1.0) -> list[Verdict]:
    """Of the deterministic settings of a guidance scale, but for the converged ones.

    Raises: ValueError where the published sampler or the converged one was not measured.
    """
    of_scale = {
        row.setting: row
        for row in rows
        if row.setting.guidance_scale == guidance_scale and row.distances
    }
    held = Setting(*PUBLISHED, guidance_scale=guidance_scale)
    for needed in (held, held.converged):
        if needed not in of_scale:
            raise ValueError(f"{needed.name} was not measured")
    published, converged = of_scale[held], of_scale.pop(held.converged)
    return [judge(row, published, converged) for row in of_scale.values()]


def choose(found: Iterable[Verdict], price: float) -> Verdict:
    """The cheapest that passes, the nearer of two; the published sampler itself always passes."""
    passing = [verdict for verdict in found if verdict.passes]
    return min(passing, key=lambda v: (v.row.cost(price), v.distance.mean))
