"""The options of commands that open a model and sample with it, as one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from mreactor_ref.schedule import Solver
from mreactor_runtime.engines.names import AUTO, DTYPES, ENGINES
from mreactor_runtime.sampling_options import not_nan, solver_options

if TYPE_CHECKING:
    from mreactor_ref.emotion.priors import PriorSource
    from mreactor_runtime.reactor import Reactor


@dataclass(frozen=True)
class ReactorOptions:
    """A model, what runs it, and how it samples; it is pickled.

    Attributes:
        model: a shipped name, a checkpoint, or a bundle's folder.
        engine, dtype: names of `engines.names`.
        sampling: what the user gave; the rest is the model's own.
    """

    model: str
    engine: str
    dtype: str
    sampling: dict[str, Any]

    def open(self, device: str, threads: int | None, source: PriorSource) -> Reactor:
        """The reactor on a device, with so many CPU threads.

        Raises:
            UsageError: there is no such model or engine, or they do not fit.
        """
        from mreactor_runtime.reactor import Reactor

        return Reactor.open(
            self.model, self.engine, threads, device, source, self.dtype, **self.sampling
        )


def reactor_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a model, passed on as one argument, `reacting`."""

    @wraps(command)
    def gathered(**values: Any) -> None:
        model, engine, dtype = (values.pop(name) for name in ("model", "engine", "dtype"))
        sampling = {name: values.pop(name) for name in ("samples", "seed", "smoothness")}
        sampling |= values.pop("solver")
        command(**values, reacting=ReactorOptions(model, engine, dtype, sampling))

    options = (
        click.option(
            "--samples",
            "--num-samples",
            type=click.IntRange(1, 1000),
            default=10,
            help="Reactions to each clip.",
        ),
        click.option(
            "-m",
            "--model",
            default="mini",
            help="A shipped name, a checkpoint, or a bundle's folder.",
        ),
        click.option(
            "--engine",
            "--backend",
            type=click.Choice(ENGINES),
            default=AUTO,
            help="What runs the model.",
        ),
        click.option(
            "--dtype",
            type=click.Choice((AUTO, *DTYPES)),
            default=AUTO,
            help="Of the steps. A bundle has its own; a checkpoint runs in fp32, or on CUDA in "
            "bf16.",
        ),
        click.option("--seed", type=int, default=0, help="The same seed gives the same reactions."),
        solver_options(Solver()),
        click.option(
            "--smoothness",
            type=click.FloatRange(-3, 3),
            default=0.0,
            callback=not_nan,
            help="Of the motion, in deviations from the average of the training data.",
        ),
    )
    with_options: Callable[..., None] = gathered
    for option in reversed(options):
        with_options = option(with_options)
    return with_options
