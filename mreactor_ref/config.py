"""The sizes of a model, frozen, in one named table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from mreactor_ref.errors import UsageError
from mreactor_ref.signals import MFCC_WIDTH, MINILM_WIDTH, ROBERTA_WIDTH, WAV2VEC_WIDTH

Attention = Literal["self", "cross", "self+cross", "relative+subject"]
ATTENTIONS: tuple[Attention, ...] = get_args(Attention)
MAX_LAYERS = 9  # the range of the paper's figure 3 (D.2)


@dataclass(frozen=True)
class ModelConfig:
    """Everything that fixes the tensors of a checkpoint and what they are fed.

    Attributes:
        fps: the frame grid, frames a second.
        sound_encoder: "mfcc", or the hub name or folder of a wav2vec 2.0 model.
        words_encoder: "minilm" (its weights come from a package), or a hub name or folder.
        sound, words: widths of those streams.
        width: D. heads: H. layers: L, 1 to 9. feedforward: width of the feed-forward, in D.
        attention: the kind of attention in each layer (figure 2 of the supplement).
        mask_threshold, mask_temperature: theta and the sigmoid's temperature of MPB's masks (C.1).
        contrast_temperature: the temperature of InfoNCE (C.2).
        context: frames that a temporal convolution of the condition sees; odd.
        listeners: K, codes of listeners (`listeners.Codebook`); 0 is none.
        train_steps: length of the diffusion's noise schedule.
        mask_weight, fine_weight, coarse_weight: what the losses of MPB and HCD count beside eq. 5.
        coefficient_weight: what the coefficients count in eq. 5; the attributes count 1.
    """

    fps: float
    sound_encoder: str
    words_encoder: str
    sound: int
    words: int
    width: int
    heads: int
    layers: int
    feedforward: int
    attention: Attention
    mask_threshold: float
    mask_temperature: float
    contrast_temperature: float
    context: int
    listeners: int
    train_steps: int
    mask_weight: float
    fine_weight: float
    coarse_weight: float
    coefficient_weight: float

    def __post_init__(self) -> None:
        if self.attention not in ATTENTIONS:
            raise UsageError(f"attention is {self.attention!r}, not one of {', '.join(ATTENTIONS)}")
        if not 1 <= self.layers <= MAX_LAYERS:
            raise UsageError(f"layers is {self.layers}, not 1 to {MAX_LAYERS}")
        if self.width % self.heads:
            raise UsageError(f"width {self.width} is no multiple of heads {self.heads}")
        if self.listeners < 0:
            raise UsageError(f"listeners is {self.listeners}, not at least 0")
        if self.context % 2 == 0:
            raise UsageError(f"context is {self.context}, which is not odd")

    @property
    def modulations(self) -> int:
        """M: shift, scale and gate of each sublayer of each layer, then a last shift and scale."""
        sublayers = 3 if self.attention in ("self+cross", "relative+subject") else 2
        return 3 * sublayers * self.layers + 2

    @property
    def takes_encoded_sound(self) -> bool:
        """Whether features that came with a sound can be taken in its place."""
        return self.sound_encoder != "mfcc"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """The inverse of `to_dict`; a missing or unknown key is an error that names it."""
        known, given = {f.name for f in fields(cls)}, set(values)
        if known != given:
            raise UsageError(
                f"model config: missing {sorted(known - given)}, unknown {sorted(given - known)}"
            )
        return cls(**values)


_PAPER = dict(
    attention="relative+subject",
    mask_threshold=0.2,
    mask_temperature=0.1,
    contrast_temperature=0.07,
    context=25,
    listeners=16,
    train_steps=1000,
    mask_weight=0.1,
    fine_weight=0.05,
    coarse_weight=0.05,
    coefficient_weight=1.0,
)

CONFIGS = {
    "mini": ModelConfig(
        fps=25.0,
        sound_encoder="mfcc",
        words_encoder="minilm",
        sound=MFCC_WIDTH,
        words=MINILM_WIDTH,
        width=128,
        heads=4,
        layers=3,
        feedforward=4,
        **_PAPER,  # pyright: ignore[reportArgumentType]
    ),
    "base": ModelConfig(
        fps=30.0,
        sound_encoder="facebook/wav2vec2-base-960h",
        words_encoder="FacebookAI/roberta-base",
        sound=WAV2VEC_WIDTH,
        words=ROBERTA_WIDTH,
        width=256,
        heads=4,
        layers=6,
        feedforward=4,
        **_PAPER,  # pyright: ignore[reportArgumentType]
    ),
}
