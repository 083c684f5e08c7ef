"""The formula of multiply-adds, and the cases of an export that it selects.

`test_bench_ceiling.py` holds the formula against counted operations.
"""

import pytest

from mreactor_export.parity.cases import (
    DDPM,
    DEFAULT,
    FIRST_ORDER,
    FIRST_STEPS,
    SECOND_ORDER,
    Sizes,
    Trajectory,
    cases,
)
from mreactor_ref.config import CONFIGS
from mreactor_ref.operations import branch, clip_multiply_adds, speaker

BASE = CONFIGS["base"]


def test_a_clip_is_its_layers_steps_and_reactions():
    assert branch(BASE, 750) == 12 * 750 * 256**2 + 2 * 750**2 * 256
    assert speaker(BASE, 750) == 2 * 750 * 256**2 + 2 * 750**2 * 256
    layers = 10 * 50 * 6
    guided, unguided = (clip_multiply_adds(BASE, 10, 750, 50, guided) for guided in (True, False))
    assert guided == layers * (2 * branch(BASE, 750) + speaker(BASE, 750))
    assert unguided == layers * (branch(BASE, 750) + speaker(BASE, 750))


@pytest.mark.parametrize(
    ("guidance", "branches"), [(0.0, 2), (1.0, 1), (7.5, 2)], ids=["none", "plain", "guided"]
)
def test_a_trajectory_is_all_its_clips(guidance: float, branches: int):
    case = Trajectory(Sizes(3, 2, 65), 20, DDPM, guidance)
    layer = branches * branch(BASE, 65) + speaker(BASE, 65)
    assert case.multiply_adds(BASE) == 3 * 2 * 20 * 6 * layer


SHORT = (
    Trajectory(Sizes(1, 1, 65), 20, DDPM, 0.0),
    Trajectory(Sizes(1, 1, 64), 20, SECOND_ORDER, 7.5),
    Trajectory(Sizes(1, 1, 63), 20, FIRST_ORDER, 1.0),
    Trajectory(Sizes(2, 1, 64), 20, DEFAULT, 1.0),
    Trajectory(Sizes(2, 2, 2), 50, DDPM, 7.5),
    Trajectory(Sizes(1, 1, 65), 50, SECOND_ORDER, 1.0),
    Trajectory(Sizes(1, 1, 64), 50, FIRST_ORDER, 1.0),
    Trajectory(Sizes(1, 4, 1), 50, DEFAULT, 0.0),
)
WHOLE = Trajectory(Sizes(1, 1, 750), 20, DEFAULT, 1.0)  # too much for a large model
FIRST = Trajectory(Sizes(1, 1, 1000), FIRST_STEPS, DEFAULT, 1.0)


@pytest.mark.parametrize(
    ("name", "selected"), [("mini", (*SHORT, WHOLE, FIRST)), ("base", (*SHORT, FIRST))]
)
def test_an_export_runs_the_trajectories_that_do_not_take_long(
    name: str, selected: tuple[Trajectory, ...]
):
    assert cases(CONFIGS[name], thorough=False).trajectories == selected
