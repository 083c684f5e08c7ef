"""The loss curve of a training run as a picture.

python -m mreactor_bench.training_curve runs/mini/history.jsonl docs/mini_loss.png
"""

from __future__ import annotations

import json
from pathlib import Path

import click

NAMES = {
    "train/generation": "training, eq. 5",
    "val/generation": "held out, eq. 5",
    "train/fine": "HCD, fine",
    "train/coarse": "HCD, coarse",
    "train/mask": "MPB, masks",
}


@click.command()
@click.argument("history", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("picture", type=click.Path(dir_okay=False, path_type=Path))
def main(history: Path, picture: Path) -> None:
    """Draw the losses of HISTORY (a run's history.jsonl) over its steps into PICTURE."""
    from matplotlib.figure import Figure

    records = [json.loads(line) for line in history.read_text().splitlines()]
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="optimiser step", ylabel="loss", yscale="log")
    for key, label in NAMES.items():
        points = {record["step"]: record[key] for record in records if key in record}
        steps = sorted(points)
        style = "o-" if key.startswith("val") else "-"
        axes.plot(steps, [points[step] for step in steps], style, label=label, linewidth=1)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main()
