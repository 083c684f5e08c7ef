"""What a run over a folder is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mreactor_ref.emotion.options import RecoveryOptions
from mreactor_ref.errors import UsageError
from mreactor_runtime.run.shard import Shard


@dataclass(frozen=True)
class Options:
    """What a run is told. Those of `Reactor.generate` are its own.

    Attributes:
        max_errors: the run stops when more clips than this have failed; None is no limit.
        debug: an error that is nobody's clip is raised as it is, instead of failing its clip.
        recovery: how the reactor's source of priors was opened; run.json keeps it.
        batch_size: clips in one call of the sampler; None is what fits, and one on a CPU.
        resume: keep what an earlier run did, where it is what this run would do.
        overlap: read, sample and write at once. The results are the same.
        readers: threads that read; None is one beside a CPU sampler, else several.
        shard: the part of the clips to do; None is all.
    """

    samples: int = 10
    seed: int = 0
    scheduler: str | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    smoothness: float = 0.0
    max_errors: int | None = None
    debug: bool = False
    timestep_spacing: str | None = None
    recovery: RecoveryOptions | None = None
    batch_size: int | None = None
    resume: bool = True
    overlap: bool = True
    readers: int | None = None
    shard: Shard | None = None

    def __post_init__(self) -> None:
        for name in ("samples", "batch_size", "readers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}, not at least 1")

    def sampling(self) -> dict[str, Any]:
        """The arguments of `Reactor.generate`."""
        return {
            "samples": self.samples,
            "seed": self.seed,
            "scheduler": self.scheduler,
            "steps": self.steps,
            "guidance_scale": self.guidance_scale,
            "smoothness": self.smoothness,
            "timestep_spacing": self.timestep_spacing,
        }
