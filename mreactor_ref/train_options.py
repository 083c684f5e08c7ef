"""How to train: options with their defaults, and the sizes of the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mreactor_ref.config import CONFIGS, ModelConfig
from mreactor_ref.data.draws import DropRates
from mreactor_ref.data.layout import MARS_SPEAKER
from mreactor_ref.errors import UsageError

LOSS = "loss"
BEST_BY = (LOSS, "frcorr", "frdist")


@dataclass(frozen=True)
class TrainOptions:
    """How to train.

    Attributes:
        data: a MARS or REACT 2023/2024 tree with train and val. output: the folder of the run.
        roles, fps, features: how the tree is read; see `load_dyads`.
        steps: of the optimiser. batch_size: windows of a device at once.
        accumulate: batches whose gradients are added up for one step. The contrastive losses
            compare the windows of one batch.
        reactions: of a window. frames: the length of a training window.
        compile: whether torch compiles the model; the first step then takes minutes.
        workers: processes that read windows; 0 reads them in this one.
        log_every, validate_every: steps; a run is saved when it is validated.
        best_by: what tells the best weights, one of BEST_BY: the loss on held-out windows, or a
            measure of reactions that are sampled to a few held-out clips.
    """

    data: Path
    output: Path
    roles: tuple[str, ...] = (MARS_SPEAKER,)
    fps: float | None = None
    features: Path | None = None
    steps: int = 5000
    batch_size: int = 8
    accumulate: int = 1
    reactions: int = 2
    frames: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    ema_decay: float = 0.998
    mixed_precision: str = "no"
    compile: bool = False
    workers: int = 0
    seed: int = 0
    log_every: int = 50
    validate_every: int = 500
    best_by: str = LOSS
    drop: DropRates = field(default_factory=DropRates)


def choose_config(name: str, **changes: object) -> ModelConfig:
    """A config of CONFIGS with what is not None changed. Raises UsageError for another name."""
    if name not in CONFIGS:
        raise UsageError(f"no config {name!r}", fix=f"one of: {', '.join(CONFIGS)}")
    given = {key: value for key, value in changes.items() if value is not None}
    return ModelConfig.from_dict({**CONFIGS[name].to_dict(), **given})
