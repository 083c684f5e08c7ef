"""How the reactions to a clip are sampled, as one value, and the options of commands for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from functools import wraps
from typing import Any, ClassVar, Protocol, TypeVar

import click

from mreactor_ref.errors import UsageError
from mreactor_ref.schedule import Solver


@dataclass(frozen=True)
class Sampling:
    """How the reactions to a clip are sampled.

    Attributes:
        samples: reactions to each clip.
        seed: fixes, with the clip's id, noise and priors.
        smoothness: of the motion, in deviations from the average of the training data.
        solver: that of the package where left out; `Reactor.sampling` starts from the model's own.

    Raises:
        UsageError: fewer than one sample.
    """

    samples: int = 10
    seed: int = 0
    smoothness: float = 0.0
    solver: Solver = field(default_factory=Solver)

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise UsageError(f"samples is {self.samples}, not at least 1")


class HasSolver(Protocol):
    """A dataclass with a solver, such as `Sampling` or a setting of a benchmark."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def solver(self) -> Solver: ...


T = TypeVar("T", bound=HasSolver)


def changed(value: T, **changes: Any) -> T:
    """A copy with other values of its fields, or of its solver's; None leaves one as it is.

    Raises:
        TypeError: neither has a field of this name.
        UsageError: a value that is out of range.
    """
    names = {one.name for one in fields(value)}
    outer = {name: x for name, x in changes.items() if name in names and x is not None}
    inner = {name: x for name, x in changes.items() if name not in names}
    value = replace(value, **outer)
    return replace(value, solver=value.solver.changed(**inner)) if inner else value


def flat(value: HasSolver) -> dict[str, Any]:
    """The fields for JSON, those of the solver in its place."""
    values = asdict(value)
    solver = values.pop("solver")
    return values | solver


def solver_options(
    defaults: Solver, repeated: tuple[str, ...] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each field of `Solver`, such as `--timestep-spacing`.

    What the user gives is passed on as one argument, `solver`: a dict by field, without what was
    left out, which is then the model's own.

    Args:
        defaults: of a model that has no defaults of its own; for the help.
        repeated: fields whose option may be given several times. Each is passed on by its own name,
            as a tuple, and not in `solver`.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        names = [option.name for option in fields(Solver) if option.name not in repeated]

        @wraps(command)
        def gathered(**values: Any) -> None:
            options = {name: values.pop(name) for name in names}
            solver = {name: value for name, value in options.items() if value is not None}
            command(**values, solver=solver)

        for option in reversed(fields(Solver)):
            default = getattr(defaults, option.name)
            shown = f"{default:g}" if isinstance(default, float) else default
            several = option.name in repeated
            gathered = click.option(
                *(f"--{option.name.replace('_', '-')}", *option.metadata["flags"]),
                type=_click_type(default, option.metadata["allowed"]),
                multiple=several,
                callback=None if several else not_nan,
                show_default=f"the bundle's, else {shown}",
                help=option.metadata["help"] + (" May be repeated." if several else ""),
            )(gathered)
        return gathered

    return decorate


def _click_type(default: Any, allowed: tuple[Any, ...]) -> click.ParamType[Any]:
    if isinstance(default, str):
        return click.Choice(allowed)
    return (click.FloatRange if isinstance(default, float) else click.IntRange)(*allowed)


def not_nan(_: click.Context, option: click.Parameter, value: Any) -> Any:
    """A callback of options: ranges of numbers let NaN pass."""
    if isinstance(value, float) and math.isnan(value):
        raise click.BadParameter("is not a number", param_hint=option.opts[0])
    return value
