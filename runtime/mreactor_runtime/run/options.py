"""Options of a run over a folder."""

from __future__ import annotations

from dataclasses import dataclass, field

from mreactor_ref.data.reading import ReadOptions
from mreactor_ref.emotion.options import RecoveryOptions
from mreactor_ref.errors import UsageError
from mreactor_runtime.run.shard import Shard
from mreactor_runtime.sampling_options import Sampling


@dataclass(frozen=True)
class Options:
    """Options of a run over a folder.

    Attributes:
        sampling: how each clip is sampled; None is the reactor's own, `Reactor.sampling`.
        max_errors: the run stops when more clips than this have failed; None is no limit.
        debug: an error that is nobody's clip is raised as it is, instead of failing its clip.
        recovery: how the reactor's source of priors was opened; run.json keeps it.
        batch_size: clips in one call of the sampler; None is what fits, and one on a CPU.
        resume: keep what an earlier run did, where it is what this run would do.
        overlap: read, sample and write at once. The results are the same.
        shard: the part of the clips to do; None is all.
        reading: how the files of clips are read.

    Raises:
        UsageError: a number of clips or threads that is less than one.
    """

    sampling: Sampling | None = None
    max_errors: int | None = None
    debug: bool = False
    recovery: RecoveryOptions | None = None
    batch_size: int | None = None
    resume: bool = True
    overlap: bool = True
    shard: Shard | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise UsageError(f"batch_size is {self.batch_size}, not at least 1")
