"""The model card of a training run: what was trained, on which data, how, and how far it came."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mreactor_ref.checkpoint import read_metadata
from mreactor_ref.config import ModelConfig
from mreactor_ref.data.dyads import Dyads
from mreactor_ref.data.mars import tree_record
from mreactor_ref.files import sha256_of, write_whole

CARD = "model_card.md"
HELD_OUT = "val/"  # begins the names of figures of held-out data
PACKAGES = ("mreactor", "torch", "accelerate", "numpy")


@dataclass(frozen=True)
class CardFacts:
    """What a card says that its checkpoints do not.

    Attributes:
        config: of the model. parameters: how many it has.
        dyads: split -> what was read of it.
        checkpoints: what it is -> the file, such as "last" and "best".
        command: the line that was typed; None where there was none.
    """

    config: ModelConfig
    parameters: int
    dyads: Mapping[str, Dyads]
    checkpoints: Mapping[str, Path]
    command: str | None = None


def write_model_card(folder: Path, facts: CardFacts) -> Path:
    """Write the card of a run into its folder; returns the file."""
    path = folder / CARD
    write_whole(path, ("\n".join(_lines(folder.name, facts)) + "\n").encode())
    return path


def _lines(name: str, facts: CardFacts) -> Iterator[str]:
    config = facts.config
    yield f"# Model card: {name}"
    yield ""
    yield (
        f"MReactor with width {config.width}, {config.heads} heads, {config.layers} layers of "
        f"{config.attention} attention, {config.fps:g} frames a second; {facts.parameters:,} "
        f"parameters. Sound: {config.sound_encoder}; words: {config.words_encoder}."
    )
    yield ""
    yield (
        "It makes 25 attributes and 58 face coefficients a frame. It is not for judging people, "
        "nor for passing generated reactions off as those of a person."
    )
    yield from ("", "## Data", "")
    yield from _data_lines(facts.dyads)
    yield from ("", "## Checkpoints", "")
    yield from _checkpoint_lines(facts.checkpoints)
    yield from ("", "## Training", "")
    if facts.command:
        yield from ("```sh", facts.command, "```", "")
    options = training_notes(next(iter(facts.checkpoints.values())))
    yield "Options, by their names in `TrainOptions`, with the step and the loss of the last:"
    yield from ("", "```json", json.dumps(options, indent=1), "```", "")
    yield f"Python {platform.python_version()}, " + ", ".join(f"{p} {version(p)}" for p in PACKAGES)
    yield ""
    yield "How good it is: `mreactor-eval reactions --model model.safetensors --data ...`."


def _data_lines(splits: Mapping[str, Dyads]) -> Iterator[str]:
    trees = [dyads.tree for dyads in splits.values()]
    if any("generator" in tree_record(tree.root) for tree in trees):
        yield "**Simulated dyads: nothing was learned about real people.**"
        yield ""
    yield "| split | layout | frames a second | pairs | frames | reactions | left out |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for split, dyads in splits.items():
        cells = (
            *(split, dyads.tree.layout, f"{dyads.tree.fps:g}", f"{len(dyads):,}"),
            *(f"{dyads.frames:,}", f"{dyads.reactions:,}", f"{len(dyads.left_out):,}"),
        )
        yield f"| {' | '.join(cells)} |"
    notes = [f"- {line}" for dyads in splits.values() for line in dyads.lines()]
    if notes:
        yield from ("", *notes)


def _checkpoint_lines(checkpoints: Mapping[str, Path]) -> Iterator[str]:
    notes = {kind: training_notes(path) for kind, path in checkpoints.items()}
    names = [name for name in next(iter(notes.values())) if name.startswith(HELD_OUT)]
    yield f"| file | which | step | {' | '.join(names)} | SHA-256 |"
    yield f"|---|---|---:|{'---:|' * len(names)}---|"
    for kind, path in checkpoints.items():
        values = " | ".join(f"{notes[kind].get(name, math.nan):.4f}" for name in names)
        step, sha = notes[kind]["step"], sha256_of(path)
        yield f"| {path.name} | {kind} | {step:,} | {values} | {sha} |"
    yield from ("", "On held-out data; val/generation is the loss of eq. 5.")


def training_notes(path: Path) -> dict[str, Any]:
    """How a checkpoint of a training run was trained, from its metadata."""
    return json.loads(read_metadata(path)["training"])
