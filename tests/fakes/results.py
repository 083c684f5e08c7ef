"""Folders as runs leave them, of reactions that are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from mreactor_ref.signals import (
    AFFECT_SLICE,
    ANGLE_SLICE,
    ATTRIBUTES,
    COEFFICIENTS,
    EXPRESSION_SLICE,
    SHAPE_SLICE,
    Reactions,
)
from mreactor_runtime.provenance import Provenance
from mreactor_runtime.run.outputs import write_npz

FPS, SEED = 25.0, 7
MODEL = {"name": "/models/tiny", "sha256": "ab" * 32}


def some_reactions(frames: int, reactions: int = 2, seed: int = 0) -> Reactions:
    """Values anywhere in their ranges, other ones in each frame; heads turn by up to 0.6."""
    rng = np.random.default_rng(seed)
    attributes = rng.uniform(0, 1, (reactions, frames, ATTRIBUTES)).astype(np.float32)
    attributes[..., AFFECT_SLICE] = 2 * attributes[..., AFFECT_SLICE] - 1
    attributes[..., EXPRESSION_SLICE] /= attributes[..., EXPRESSION_SLICE].sum(-1, keepdims=True)
    coefficients = rng.normal(size=(reactions, frames, COEFFICIENTS)).astype(np.float32)
    coefficients[..., SHAPE_SLICE] = rng.uniform(-0.2, 1.2, (reactions, frames, 52))
    coefficients[..., ANGLE_SLICE] = rng.uniform(-0.6, 0.6, (reactions, frames, 3))
    return Reactions(attributes, coefficients)


def write_run(folder: Path, clips: dict[str, int], failed: tuple[str, ...] = ()) -> None:
    """The output of a run.

    Args:
        clips: id -> frames, of those that are done. failed: ids of the others.
    """
    lines = []
    for seed, (clip, frames) in enumerate(clips.items()):
        made = Provenance(clip, FPS, SEED, "tiny", MODEL["sha256"], "0.0.9")
        digest = write_npz(folder / f"{clip}.npz", some_reactions(frames, seed=seed), made)
        lines.append({"id": clip, "status": "done", "seed": SEED, "fps": FPS, "sha256": digest})
    lines += [{"id": clip, "status": "failed", "seed": SEED, "error": "no"} for clip in failed]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = {"ai_generated": True, "versions": {"mreactor": "0.0.9"}, "model": MODEL}
    (folder / "run.json").write_text(json.dumps(run))


def older_result(source: Path, target: Path) -> None:
    """A copy of a result as version 0.0 wrote it: nothing but the arrays."""
    with np.load(source) as arrays:
        np.savez(target, attributes=arrays["attributes"], coefficients=arrays["coefficients"])
