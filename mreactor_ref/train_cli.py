"""`mreactor-train`: parses options, from flags and from a file, and trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mreactor_ref.command import one_line_errors, progress_bar, typed_command
from mreactor_ref.errors import UsageError
from mreactor_ref.tree_options import SETTINGS, tree_options

FOLDER = click.Path(file_okay=False, path_type=Path)
DROPS = ("stream", "face", "prior", "smoothness", "listener", "everything")
RATE = click.FloatRange(0, 1)


def _from_file(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    """Take the options of a YAML file as defaults: flags override them."""
    if path is None:
        return
    flags = {
        flag.removeprefix("--"): option.name or ""
        for option in context.command.params
        if not option.is_eager
        for flag in option.opts
    }
    with one_line_errors():
        options = read_options(path)
        unknown = sorted(options.keys() - flags.keys())
        if unknown:
            problem = f"unknown options: {', '.join(unknown)}"
            raise UsageError(problem, path, "they are named as the flags are, without --")
    context.default_map = {flags[name]: value for name, value in options.items()}


def read_options(path: Path) -> dict[str, Any]:
    """The options in a YAML file, by flag without its dashes.

    Raises:
        UsageError: it cannot be read, or is no mapping of names to single values.
    """
    import yaml

    fix = "give one option a line, such as learning-rate: 0.0005"
    try:
        options = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"cannot be read as YAML: {reason}", path, fix) from None
    if not isinstance(options, dict):
        raise UsageError("holds no options", path, fix)
    for name, value in options.items():
        if not isinstance(value, str | int | float | bool):
            raise UsageError(f"{name} is {value!r}, no single value", path, fix)
    return {str(name).replace("_", "-"): value for name, value in options.items()}


@click.command(context_settings=SETTINGS)
@click.version_option(package_name="mreactor")
@click.option(
    "--options",
    type=click.Path(dir_okay=False, path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_from_file,
    help="YAML of any of these options; flags override it.",
)
@click.option("--data", type=FOLDER, required=True, help="A MARS or REACT 2023/2024 tree.")
@click.option("--output", type=FOLDER, required=True, help="Folder of the run.")
@tree_options
@click.option("--config", default="mini", help="Sizes of the model: mini or base.")
@click.option("--attention", help="Another kind of attention, for comparison.")
@click.option("--layers", type=click.IntRange(1, 9), help="Another number of layers.")
@click.option("--max-train-steps", type=click.IntRange(1), default=5000, help="Optimiser steps.")
@click.option("--train-batch-size", type=click.IntRange(1), default=8, help="Clips a batch.")
@click.option(
    "--gradient-accumulation-steps",
    type=click.IntRange(1),
    default=1,
    help="Batches whose gradients add up to one step.",
)
@click.option("--reactions", type=click.IntRange(1), default=2, help="Reactions of each clip.")
@click.option("--frames", type=click.IntRange(8), default=128, help="Frames of a window.")
@click.option("--learning-rate", type=click.FloatRange(0), default=1e-3, help="At its highest.")
@click.option("--weight-decay", type=click.FloatRange(0), default=0.01, help="Of AdamW.")
@click.option("--max-grad-norm", type=click.FloatRange(0), default=1.0, help="Longer is cut.")
@click.option("--ema-decay", type=RATE, default=0.998, help="Of the moving average.")
@click.option("--drop-stream", type=RATE, default=0.15, help="How often each stream is hidden.")
@click.option("--drop-face", type=RATE, default=0.3, help="How often the face is hidden.")
@click.option("--drop-prior", type=RATE, default=0.2, help="How often a prior is hidden.")
@click.option("--drop-smoothness", type=RATE, default=0.5, help="How often it is 0.")
@click.option("--drop-listener", type=RATE, default=0.1, help="How often it is unknown.")
@click.option("--drop-everything", type=RATE, default=0.1, help="How often all is hidden.")
@click.option(
    "--mixed-precision",
    type=click.Choice(["no", "bf16"]),
    default="no",
    help="Of the model.",
)
@click.option("--compile/--no-compile", default=False, help="Let torch compile the model.")
@click.option("--workers", type=click.IntRange(0), default=0, help="Processes that read windows.")
@click.option("--log-every", type=click.IntRange(1), default=50, help="Steps.")
@click.option("--validate-every", type=click.IntRange(1), default=500, help="Steps; saves, too.")
@click.option(
    "--best-by",
    type=click.Choice(["loss", "frcorr", "frdist"]),
    default="loss",
    help="Of best.safetensors: loss on held-out windows, or reactions sampled to a few clips.",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Of weights, windows and noise.")
@click.option("--resume", is_flag=True, help="Go on where the run in --output stopped.")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def train(
    config: str,
    attention: str | None,
    layers: int | None,
    max_train_steps: int,
    train_batch_size: int,
    gradient_accumulation_steps: int,
    resume: bool,
    debug: bool,
    **options: Any,
) -> None:
    """Train a model; several GPUs with `accelerate launch -m mreactor_ref.train_cli`.

    Writes model.safetensors (the moving average of the weights), best.safetensors (the best on
    held-out data, see --best-by), history.jsonl, model_card.md and TensorBoard files to --output.
    """
    with one_line_errors(debug), progress_bar() as report:
        from mreactor_ref.data.draws import DropRates
        from mreactor_ref.train import train as run
        from mreactor_ref.train_options import TrainOptions, choose_config

        drop = DropRates(**{name: options.pop(f"drop_{name}") for name in DROPS})
        chosen = TrainOptions(
            steps=max_train_steps,
            batch_size=train_batch_size,
            accumulate=gradient_accumulation_steps,
            drop=drop,
            **options,
        )
        sizes = choose_config(config, attention=attention, layers=layers)
        path = run(
            *(sizes, chosen),
            resume=resume,
            report=report,
            say=lambda line: click.echo(line, err=True),
            command=typed_command(),
        )
    click.echo(f"Wrote {path}")


if __name__ == "__main__":
    train()
