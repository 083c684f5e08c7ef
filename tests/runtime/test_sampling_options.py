"""The options of sampling: as a value, as JSON, and as options of commands."""

from dataclasses import dataclass, fields

import click
import pytest
from click.testing import CliRunner

from mreactor_ref.errors import UsageError
from mreactor_ref.schedule import LOG_SNR, Solver
from mreactor_runtime.sampling_options import Sampling, changed, flat, solver_options

NAMES = {field.name for field in fields(Solver)}


def test_the_defaults_are_those_of_a_run():
    assert Sampling() == Sampling(10, 0, 0.0, Solver("dpmsolver++", 10, 1.0, LOG_SNR))
    assert not Solver().guided
    assert Solver(guidance_scale=0.0).guided


def test_changes_reach_the_solver_and_none_changes_nothing():
    sampling = Sampling(3, seed=4)
    assert changed(sampling, seed=5, steps=6) == Sampling(3, 5, solver=Solver(steps=6))
    assert changed(sampling, smoothness=0.0, guidance_scale=0.0).solver.guidance_scale == 0
    assert changed(sampling, seed=None, scheduler=None) == sampling
    assert changed(sampling, solver=Solver("ddim"), steps=2).solver == Solver("ddim", 2)
    for value in (1, None):
        with pytest.raises(TypeError, match="stpes"):
            changed(sampling, stpes=value)
    with pytest.raises(UsageError, match="samples is 0, not at least 1"):
        changed(sampling, samples=0)


def test_json_is_flat():
    assert flat(Sampling(3, 4, 0.5, Solver("ddim", 7, 1.5, "trailing"))) == {
        "samples": 3,
        "seed": 4,
        "smoothness": 0.5,
        "scheduler": "ddim",
        "steps": 7,
        "guidance_scale": 1.5,
        "timestep_spacing": "trailing",
    }

    @dataclass(frozen=True)
    class Other:
        solver: Solver
        frames: int

    assert flat(Other(Solver(), 5)).keys() == {"frames"} | NAMES


def invoke(*arguments: str, repeated: tuple[str, ...] = ()):
    """A command that has the options; the exit code, what it was given, what it printed."""
    given = {}

    @click.command(context_settings={"show_default": True})
    @solver_options(Solver(steps=12), repeated)
    @click.option("--other", default=1)
    def command(**values) -> None:
        given.update(values)

    result = CliRunner().invoke(command, arguments)
    return result.exit_code, given, result.output


def test_a_command_has_an_option_for_each_field_and_gets_what_the_user_gave():
    assert invoke() == (0, {"other": 1, "solver": {}}, "")
    assert invoke("--steps", "3", "--timestep-spacing", "trailing", "--other", "2")[1] == {
        "other": 2,
        "solver": {"steps": 3, "timestep_spacing": "trailing"},
    }
    help = invoke("--help")[2]
    assert all(f"--{name.replace('_', '-')}" in help for name in NAMES)
    assert "the bundle's, else 12" in " ".join(help.split())


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--scheduler", "magic", "'magic' is not one of"),
        ("--timestep-spacing", "leading", "'leading' is not one of"),
        ("--steps", "0", "0 is not in the range 1<=x<=1000"),
        ("--guidance-scale", "20.5", "is not in the range 0<=x<=20"),
        ("--guidance-scale", "nan", "Invalid value for --guidance-scale: is not a number"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused(option: str, value: str, message: str):
    code, given, output = invoke(option, value)
    assert (code, given) == (2, {})
    assert message in output


def test_a_repeated_option_comes_by_its_own_name():
    assert invoke("--steps", "3", "--steps", "4", "--scheduler", "ddim", repeated=("steps",))[
        1
    ] == {
        "other": 1,
        "steps": (3, 4),
        "solver": {"scheduler": "ddim"},
    }
    assert invoke(repeated=("steps",))[1] == {"other": 1, "steps": (), "solver": {}}
