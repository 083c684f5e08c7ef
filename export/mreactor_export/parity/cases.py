"""The cases of a proof, sizes and trajectories: those of every export, and the whole product.

The cases of an export are a part of the whole product, with the same inputs: the figures of one
are reproduced by the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

from mreactor_ref.config import ModelConfig
from mreactor_ref.operations import clip_multiply_adds
from mreactor_ref.schedule import LOG_SNR, TRAILING

T = TypeVar("T")

GUIDANCE = (0.0, 1.0, 7.5)
LENGTHS = (1, 2, 63, 64, 65, 750, 1000)
SHORT = 65  # up to this length a figure costs little

# Solvers whose tables are equal make the same trajectory: it is run once for all their names.
Solver = tuple[tuple[str, ...], str]  # names with one table, and their timestep spacing
DDPM: Solver = (("ddpm",), TRAILING)
FIRST_ORDER: Solver = (("ddim", "dpmsolver++1", "euler"), TRAILING)
SECOND_ORDER: Solver = (("dpmsolver++",), TRAILING)
DEFAULT: Solver = (("dpmsolver++",), LOG_SNR)  # of a bundle
SOLVERS = (DDPM, FIRST_ORDER, SECOND_ORDER, DEFAULT)

# What one trajectory of an export's check may take: a second or two a model on two cores. Beyond
# that an export has the first steps of a long clip, and the whole product the rest.
MOST_MULTIPLY_ADDS = 40e9
FIRST_STEPS = 3


@dataclass(frozen=True)
class Sizes:
    """Clips, reactions, frames."""

    clips: int
    reactions: int
    frames: int

    @property
    def seed(self) -> int:
        """Of the inputs: that of the sizes, in whatever list they stand."""
        return (self.frames * 100 + self.clips) * 100 + self.reactions

    def symbols(self, steps: int = 3) -> dict[str, int]:
        """For `tensors.example_inputs`."""
        return {"B": self.clips, "S": self.reactions, "T": self.frames, "N": steps}


@dataclass(frozen=True)
class Trajectory:
    """A whole trajectory of one clip's reactions, or of several clips'."""

    sizes: Sizes
    steps: int
    solver: Solver
    guidance: float

    def multiply_adds(self, config: ModelConfig) -> int:
        """Of the layers, by formula, all clips together."""
        sizes, guided = self.sizes, self.guidance != 1
        samples = sizes.clips * sizes.reactions
        return clip_multiply_adds(config, samples, sizes.frames, self.steps, guided)


@dataclass(frozen=True)
class Cases:
    """All cases of a proof.

    Attributes:
        steps: sizes of single calls. rows: sizes of batches whose rows are run alone, and of
            batches of equal rows. layers: sizes of the figures of each layer.
        padding: a clip's own length, and that it is padded to.
        trajectories: with random features.
        clips: how many clips give features, and the most frames that are taken of each.
        real: trajectories on them, which the clips take in turns: steps, solver, guidance.
        dyads: how many simulated speakers the measures are taken on, and how many frames of each.
        others: the lengths at which every engine is asked, not the first one alone.
    """

    steps: tuple[Sizes, ...]
    rows: tuple[Sizes, ...]
    layers: tuple[Sizes, ...]
    padding: tuple[tuple[int, int], ...]
    trajectories: tuple[Trajectory, ...]
    clips: tuple[tuple[int, int], ...]
    real: tuple[tuple[int, Solver, float], ...]
    dyads: tuple[tuple[int, int], ...]
    others: tuple[int, ...]


def _brief(config: ModelConfig) -> Cases:
    one, small = Sizes(1, 1, 64), Sizes(1, 4, 1)
    tried = (
        Trajectory(Sizes(1, 1, 65), 20, DDPM, 0.0),
        Trajectory(one, 20, SECOND_ORDER, 7.5),
        Trajectory(Sizes(1, 1, 63), 20, FIRST_ORDER, 1.0),
        Trajectory(Sizes(2, 1, 64), 20, DEFAULT, 1.0),
        Trajectory(Sizes(2, 2, 2), 50, DDPM, 7.5),
        Trajectory(Sizes(1, 1, 65), 50, SECOND_ORDER, 1.0),
        Trajectory(one, 50, FIRST_ORDER, 1.0),
        Trajectory(small, 50, DEFAULT, 0.0),
        Trajectory(Sizes(1, 1, 750), 20, DEFAULT, 1.0),
        Trajectory(Sizes(1, 1, 1000), 20, DEFAULT, 1.0),
        Trajectory(Sizes(1, 1, 1000), FIRST_STEPS, DEFAULT, 1.0),
    )
    return Cases(
        steps=(
            *(Sizes(1, 16, 1), Sizes(3, 2, 2), Sizes(2, 3, 63)),
            *(Sizes(1, 5, 64), Sizes(3, 1, 65)),
            *(Sizes(1, 1, 750), Sizes(1, 1, 1000)),
        ),
        rows=(Sizes(3, 2, 65),),
        layers=(Sizes(2, 2, 65),),
        padding=((37, 64),),
        trajectories=tuple(
            case for case in tried if case.multiply_adds(config) <= MOST_MULTIPLY_ADDS
        ),
        clips=((1, 128),),
        real=((20, DEFAULT, 7.5),),
        dyads=((2, 128),),
        others=(1, 64),
    )


def _thorough(brief: Cases) -> Cases:
    sizes = [Sizes(*batch, frames) for frames in LENGTHS for batch in ((1, 1), (3, 2))]
    solved = [
        Trajectory(Sizes(1, 1, frames), steps, solver, scale)
        for frames, steps, solver, scale in product(LENGTHS, (20, 50), SOLVERS, GUIDANCE)
    ]
    real = tuple(product((20, 50), SOLVERS, GUIDANCE))
    return Cases(
        steps=_union(brief.steps, (*sizes, *(Sizes(1, 16, t) for t in LENGTHS if t <= SHORT))),
        rows=_union(brief.rows, tuple(Sizes(3, 2, frames) for frames in LENGTHS)),
        layers=_union(brief.layers, tuple(Sizes(1, 1, frames) for frames in LENGTHS)),
        padding=_union(
            brief.padding, ((1, 2), (1, 64), (2, 63), (63, 64), (64, 65), (65, 750), (750, 1000))
        ),
        trajectories=_union(brief.trajectories, solved),
        clips=_union(brief.clips, ((1000, 1000),)),
        real=_union(brief.real, real),
        dyads=_union(brief.dyads, ((4, 200),)),
        others=tuple(range(1, max(LENGTHS) + 1)),
    )


def _union(first: tuple[T, ...], more: Iterable[T]) -> tuple[T, ...]:
    """Both, in order, nothing twice."""
    return tuple(dict.fromkeys((*first, *more)))


def cases(config: ModelConfig, thorough: bool) -> Cases:
    """Those of every export, or the whole product of lengths, guidance, solvers and features."""
    brief = _brief(config)
    return _thorough(brief) if thorough else brief
