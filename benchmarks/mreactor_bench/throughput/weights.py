"""The weights that are measured: a model by name or path, or random ones; and their exports.

Time does not depend on what the weights are, so random ones of any config will do. Graphs are
exported anew for each run, into a folder that goes with it: they are those of this very version.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mreactor_ref.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from mreactor_ref.config import CONFIGS, ModelConfig
from mreactor_ref.errors import UsageError
from mreactor_ref.files import sha256_of
from mreactor_ref.schedule import Solver
from mreactor_runtime.bundle import MANIFEST, BundleInfo, open_bundle, write_bundle

if TYPE_CHECKING:  # `Weights` crosses into processes that time how long torch takes to import
    from mreactor_ref.model import MReactor

SEED = 0  # of random weights
SPREAD = 0.05  # of those that a new model has at zero: enough that every part has an effect
OPSET = 20


@dataclass(frozen=True)
class Weights:
    """Where the weights are, for whoever opens them in a process of its own.

    Attributes:
        name: as it was asked for. sha256: of the checkpoint.
        checkpoint: None where only a bundle was given.
        bundles: dtype -> folder of the graphs in it.
    """

    name: str
    sha256: str
    config: ModelConfig
    checkpoint: Path | None
    bundles: Mapping[str, Path] = field(default_factory=dict)
    defaults: Solver = field(default_factory=Solver)

    def graphs_of(self, dtype: str) -> Path:
        """Raises UsageError where there is no export in a dtype."""
        if dtype not in self.bundles:
            raise UsageError(f"there is no export in {dtype}", fix="give a checkpoint as --model")
        return self.bundles[dtype]

    def checkpoint_for(self, runner: str) -> Path:
        """Raises UsageError where there is none."""
        if self.checkpoint is None:
            fix = "give a checkpoint as --model"
            raise UsageError(f"a bundle has no checkpoint for {runner}", fix=fix)
        return self.checkpoint


def random_model(config: ModelConfig, seed: int = SEED) -> MReactor:
    """A new model, the same for a seed; what is zero in a new one is normal, deviation `SPREAD`."""
    import torch
    from torch import nn

    from mreactor_ref.model import MReactor

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MReactor(config)
        for parameter in model.parameters():
            if parameter.ndim > 1 and not parameter.any():
                nn.init.normal_(parameter, std=SPREAD)
    return model.eval().requires_grad_(False)


def random_weights(config: str, folder: Path) -> Weights:
    """Random weights of one of CONFIGS as a checkpoint in a folder."""
    if config not in CONFIGS:
        raise UsageError(f"no config {config!r}", fix=f"one of {', '.join(CONFIGS)}")
    path = folder / f"random-{config}.safetensors"
    save_checkpoint(random_model(CONFIGS[config]), path, {"weights": f"random, seed {SEED}"})
    return Weights(f"random {config}", sha256_of(path), CONFIGS[config], path)


def find_weights(model: str) -> Weights:
    """A shipped name, a checkpoint, or a bundle's folder.

    Raises: UsageError: no such model. IntegrityError: a file that is damaged.
    """
    if (Path(model) / MANIFEST).is_file():
        info = open_bundle(Path(model)).info
        bundles, known = {info.dtype: Path(model)}, (info.checkpoint_sha256, info.config)
        return Weights(model, *known, checkpoint=None, bundles=bundles, defaults=info.defaults)
    path = find_checkpoint(model)
    config = load_checkpoint(path).config
    return Weights(model, sha256_of(path), config, path)


def with_exports(
    weights: Weights, dtypes: Collection[str], folder: Path, say: Callable[[str], None]
) -> Weights:
    """The weights with graphs in each dtype that is not there yet, exported into a folder."""
    missing = [dtype for dtype in dict.fromkeys(dtypes) if dtype not in weights.bundles]
    if not missing or weights.checkpoint is None:
        return weights
    from mreactor_export.to_onnx import export_graphs

    network = load_checkpoint(weights.checkpoint)
    metadata = {
        "model": weights.name,
        "checkpoint_sha256": weights.sha256,
        "config": json.dumps(weights.config.to_dict()),
    }
    bundles = dict(weights.bundles)
    for dtype in missing:
        say(f"exporting {weights.name} in {dtype}")
        info = BundleInfo(
            model_name=weights.name,
            config=weights.config,
            checkpoint_sha256=weights.sha256,
            reaction_mean=tuple(network.reaction.mean.tolist()),
            listener_shares=tuple(network.listener_shares.tolist()),
            reaction_std=tuple(network.reaction.std.tolist()),
            opset=OPSET,
            dtype=dtype,
            defaults=weights.defaults,
        )
        files = export_graphs(network, OPSET, metadata, dtype=dtype)
        bundles[dtype] = write_bundle(folder / dtype, info, files).folder
    return replace(weights, bundles=bundles)
