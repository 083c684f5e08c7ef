"""Where and how a run is shared out by Ray, as one value, and the options of commands for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

LOCAL = "local"  # Ray's word for a cluster that is started here, for this run


@dataclass(frozen=True)
class RayOptions:
    """Where and how a run is shared out by Ray; the words are Ray's own.

    Attributes:
        address: of a cluster; LOCAL starts one on this machine.
        concurrency: workers, each with a model of its own; None is as many as there is room for.
        num_cpus: of each worker; None is up to 4.
        num_gpus: of each worker; None is one where the cluster has any.
    """

    address: str = LOCAL
    concurrency: int | None = None
    num_cpus: int | None = None
    num_gpus: float | None = None


def ray_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a cluster, passed on as one argument, `ray`, None without.

    Raises:
        click.UsageError: one of the others is given without --ray.
    """
    names = ("concurrency", "num_cpus", "num_gpus")

    @wraps(command)
    def gathered(**values: Any) -> None:
        address = values.pop("ray")
        others = {name: values.pop(f"ray_{name}") for name in names}
        lone = [name for name, value in others.items() if value is not None]
        if address is None and lone:
            raise click.UsageError(f"--ray-{lone[0].replace('_', '-')} needs --ray")
        command(**values, ray=None if address is None else RayOptions(address, **others))

    options = (
        click.option(
            "--ray",
            is_flag=False,
            flag_value=LOCAL,
            metavar="[ADDRESS]",
            help="Share the clips among the workers of a Ray cluster: auto, HOST:PORT, or a "
            "cluster on this machine where no address is given.",
        ),
        click.option(
            "--ray-concurrency",
            type=click.IntRange(1),
            show_default="as many as there is room for",
            help="Workers, each with a model of its own.",
        ),
        click.option(
            "--ray-num-cpus",
            type=click.IntRange(1),
            show_default="up to 4",
            help="CPUs of each worker.",
        ),
        click.option(
            "--ray-num-gpus",
            type=click.FloatRange(0),
            show_default="1 where there are any",
            help="GPUs of each worker.",
        ),
    )
    with_options: Callable[..., None] = gathered
    for option in reversed(options):
        with_options = option(with_options)
    return with_options
