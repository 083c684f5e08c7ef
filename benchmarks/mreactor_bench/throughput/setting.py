"""What is measured: one runner at one size with one solver, and how often."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from mreactor_ref.errors import UsageError
from mreactor_ref.schedule import SCHEDULERS, SPACINGS
from mreactor_runtime.engines.names import AUTO, DEVICES, DTYPES, ENGINES, TORCH

PUBLISHED, EAGER, COMPILE, ONNX_ARRAYS = "published", "eager", "compile", "onnx-arrays"
PEERS = {
    PUBLISHED: "the loop as published samplers write it: each reaction a row of the batch, doubled "
    "for guidance, all of it computed anew at every step; attention written out; eager fp32",
    EAGER: "eager PyTorch: condition, keys, values and step embeddings once a clip, all reactions "
    "in one batch, PyTorch's fused attention; fp32",
    COMPILE: "the same under torch.compile",
    ONNX_ARRAYS: "a plain ONNX Runtime session, numpy arrays in and out, default options",
}


@dataclass(frozen=True)
class Setting:
    """One thing to measure.

    Attributes:
        runner: an engine of `names.ENGINES` or one of `PEERS`.
        dtype: one of DTYPES. device: "cpu" or "cuda".
        batch_size: clips in one call. frames: of each. samples: reactions of each.
        scheduler, steps, timestep_spacing, guidance_scale: the solver, as everywhere.
        threads: of the CPU; None is the runner's own choice.
    """

    runner: str
    dtype: str
    device: str
    batch_size: int
    frames: int
    samples: int
    scheduler: str
    steps: int
    timestep_spacing: str
    guidance_scale: float
    threads: int | None = None

    @property
    def guided(self) -> bool:
        """A guidance of 1 has no unconditional branch."""
        return self.guidance_scale != 1

    @property
    def is_peer(self) -> bool:
        return self.runner in PEERS

    @property
    def needs_graphs(self) -> bool:
        """Whether it runs an export, and not a checkpoint."""
        return self.runner == ONNX_ARRAYS or not (self.is_peer or self.runner in (AUTO, TORCH))

    @property
    def reactions(self) -> tuple[Any, ...]:
        """What fixes the reactions, whoever makes them."""
        return (
            *(self.batch_size, self.frames, self.samples, self.scheduler, self.steps),
            *(self.timestep_spacing, self.guidance_scale),
        )

    def describe(self) -> str:
        """For people, in a line."""
        clips = f"{self.batch_size} clips of " if self.batch_size > 1 else ""
        guidance = f", guidance {self.guidance_scale:g}" if self.guided else ""
        return (
            f"{self.runner} {self.dtype} on {self.device}: {clips}{self.frames} frames, "
            f"{self.samples} reactions, {self.steps} steps of {self.scheduler}{guidance}"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """How often a call is timed: at least `repeats` times and for at least `duration` seconds,
    after `warm_up` calls that are not."""

    repeats: int
    duration: float
    warm_up: int


# Key of --compare -> field, how its value is read, and what it may be.
KEYS: dict[str, tuple[str, type, tuple[str, ...] | tuple[float, float]]] = {
    "engine": ("runner", str, ENGINES),
    "peer": ("runner", str, tuple(PEERS)),
    "dtype": ("dtype", str, DTYPES),
    "device": ("device", str, DEVICES[1:]),
    "batch_size": ("batch_size", int, (1, 1024)),
    "frames": ("frames", int, (1, 100_000)),
    "samples": ("samples", int, (1, 1000)),
    "scheduler": ("scheduler", str, SCHEDULERS),
    "steps": ("steps", int, (1, 1000)),
    "timestep_spacing": ("timestep_spacing", str, tuple(SPACINGS)),
    "guidance_scale": ("guidance_scale", float, (0, 20)),
    "threads": ("threads", int, (1, 4096)),
}


def change(setting: Setting, text: str) -> Setting:
    """A setting with what `key=value,key=value` says in its place.

    Raises: UsageError: an unknown key, a value out of its range, or one that cannot be read.
    """
    changes: dict[str, Any] = {}
    for pair in text.split(","):
        key, equals, value = pair.strip().partition("=")
        key = key.replace("-", "_")
        if not equals or key not in KEYS:
            raise UsageError(f"{pair!r} is not one of {', '.join(f'{k}=...' for k in KEYS)}")
        name, kind, allowed = KEYS[key]
        if name in changes:
            raise UsageError(f"{text!r} sets {name} twice")
        changes[name] = _read(key, value, kind, allowed)
    return replace(setting, **changes)


def _read(key: str, text: str, kind: type, allowed: tuple[Any, ...]) -> Any:
    if kind is str:
        if text not in allowed:
            raise UsageError(f"{key} is {text!r}, not one of {', '.join(allowed)}")
        return text
    low, high = allowed
    try:
        value = kind(text)
    except ValueError:
        raise UsageError(f"{key} is {text!r}, not a number") from None
    if not low <= value <= high:  # false for NaN
        raise UsageError(f"{key} is {text}, not {low:g} to {high:g}")
    return value
