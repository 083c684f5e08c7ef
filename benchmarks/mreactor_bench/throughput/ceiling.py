"""The least cost of a clip: operations and bytes by formula, and the time that a machine needs.

The layers' multiply-adds are those of `mreactor_ref.operations`; each counts as two operations.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mreactor_ref.cognition import CHANNELS, COARSE, FINE
from mreactor_ref.config import ModelConfig
from mreactor_ref.denoiser import STEP_FREQUENCIES
from mreactor_ref.operations import branch, clip_multiply_adds, speaker
from mreactor_ref.signals import ATTRIBUTES, COEFFICIENTS, MODALITIES, REACTION

OPERATIONS = 2  # of a multiply-add
SOLVER_ROWS = 4  # x, clean and previous are read, x is written
BYTES = {"fp32": 4, "mixed": 4, "fp16": 2, "bf16": 2}


def clip_operations(
    config: ModelConfig, samples: int, frames: int, steps: int, guided: bool
) -> int:
    """Operations of a clip: the layers, which no sampler can leave out."""
    return OPERATIONS * clip_multiply_adds(config, samples, frames, steps, guided)


def encoder_operations(config: ModelConfig, frames: int) -> int:
    """Operations of MPB and HCD for one clip: all that comes before the condition."""
    width = config.width
    streams = config.sound + config.words + COEFFICIENTS + ATTRIBUTES
    correlation = 2 * len(MODALITIES) * frames * width**2 + (len(MODALITIES) * frames) ** 2 * width
    channels = {name: sum(len(part) for part in CHANNELS[name]) for name in (*FINE, *COARSE)}
    factors = sum(channels[n] for n in FINE) + 2 * sum(channels[n] for n in COARSE)
    joined = (len(MODALITIES) + len(FINE) + len(COARSE)) * width + len(FINE) + len(COARSE)
    fused = 2 * width * 2 * width + joined * 2 * width + 2 * width * width
    context = 2 * (config.context * width + width**2)
    return OPERATIONS * (frames * ((streams + factors) * width + fused + context) + correlation)


def published_operations(
    config: ModelConfig, samples: int, frames: int, steps: int, guided: bool
) -> int:
    """Operations of a clip as published samplers write the loop.

    Every reaction is a row with its own copy of the speaker, and with guidance there are as many
    rows again. Each step computes all of every row anew: the condition, keys, values, and the
    embeddings of step, prior and smoothness.
    """
    width, frame = config.width, frames * config.width
    speakers = 0 if config.attention == "self" else config.layers
    subject = config.attention == "relative+subject"
    once = frames * (2 + width) * width + 2 * REACTION * frame + config.context * frame
    once += (1 + width) * width  # smoothness
    once += 2 * STEP_FREQUENCIES * width + config.modulations * width**2
    keys_and_values = (4 if subject else 2) * frame * width
    layers = config.layers * (branch(config, frames) + speaker(config, frames))
    row = OPERATIONS * (once + speakers * keys_and_values + layers)
    row += encoder_operations(config, frames)
    return samples * (2 if guided else 1) * steps * row


def clip_bytes(
    config: ModelConfig, samples: int, frames: int, steps: int, dtype: str, clips: int = 1
) -> int:
    """Bytes of a clip that pass through memory at least, when all else stays in a cache.

    Each step reads the weights of the layers (once for all `clips` of a call), the keys and values,
    and the noisy reaction, writes the clean one, and does the solver's line.
    """
    width, layers = config.width, config.layers
    own = 0 if config.attention == "cross" else 4
    cross = 0 if config.attention == "self" else 2
    weights = layers * (own + cross + 2 * config.feedforward) * width**2
    given = (1 + samples) * layers * frames * width if cross else frames * width
    reaction = (2 + SOLVER_ROWS) * samples * frames * REACTION
    return BYTES[dtype] * steps * (weights // clips + given + reaction)


@dataclass(frozen=True)
class Rates:
    """The measured rates of a machine.

    Attributes:
        device: "cpu" or "cuda".
        matmul: dtype -> operations a second of a large square product of matrices.
        copy: bytes a second, read and written, of a large copy.
        threads: of the CPU that the measurement had.
    """

    device: str
    matmul: dict[str, float]
    copy: float
    threads: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Ceiling:
    """The least time of a clip on a machine.

    Attributes:
        operations, bytes: of a clip, by formula. published: operations of the published loop.
        compute_seconds, memory_seconds: what each alone would take.
    """

    operations: int
    published: int
    bytes: int
    compute_seconds: float
    memory_seconds: float

    @property
    def seconds(self) -> float:
        """The floor: at best, computing and moving overlap."""
        return max(self.compute_seconds, self.memory_seconds)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"seconds": self.seconds}


def ceiling(
    config: ModelConfig,
    rates: Rates,
    *,
    samples: int,
    frames: int,
    steps: int,
    guided: bool,
    dtype: str,
    clips: int = 1,
) -> Ceiling:
    """The floor of one clip of a call of `clips` clips, at the clip's own length, unpadded."""
    operations = clip_operations(config, samples, frames, steps, guided)
    moved = clip_bytes(config, samples, frames, steps, dtype, clips)
    return Ceiling(
        operations=operations,
        published=published_operations(config, samples, frames, steps, guided),
        bytes=moved,
        compute_seconds=operations / rates.matmul[dtype],
        memory_seconds=moved / rates.copy,
    )
