"""A setting to measure: one runner at one size with one solver; and how often."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from mreactor_ref.errors import UsageError
from mreactor_ref.schedule import Solver
from mreactor_runtime.engines.names import AUTO, DEVICES, DTYPES, ENGINES, TORCH
from mreactor_runtime.sampling_options import changed, flat

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
        threads: of the CPU; None is the runner's own choice.
    """

    runner: str
    dtype: str
    device: str
    batch_size: int
    frames: int
    samples: int
    solver: Solver
    threads: int | None = None

    @property
    def is_peer(self) -> bool:
        return self.runner in PEERS

    @property
    def needs_graphs(self) -> bool:
        """Whether it runs an export, and not a checkpoint."""
        return self.runner == ONNX_ARRAYS or not (self.is_peer or self.runner in (AUTO, TORCH))

    @property
    def reactions(self) -> tuple[Any, ...]:
        """The part that fixes the reactions, whoever makes them."""
        return self.batch_size, self.frames, self.samples, self.solver

    def describe(self) -> str:
        """For people, in a line."""
        clips = f"{self.batch_size} clips of " if self.batch_size > 1 else ""
        solver = self.solver
        guidance = f", guidance {solver.guidance_scale:g}" if solver.guided else ""
        return (
            f"{self.runner} {self.dtype} on {self.device}: {clips}{self.frames} frames, "
            f"{self.samples} reactions, {solver.steps} steps of {solver.scheduler}{guidance}"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return flat(self)


@dataclass(frozen=True)
class TimingPlan:
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
    **{
        option.name: (option.name, type(option.default), option.metadata["allowed"])
        for option in fields(Solver)
    },
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
    return changed(setting, **changes)


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
