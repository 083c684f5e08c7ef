"""Options of a run over a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mreactor_ref.data.reading import ReadOptions
from mreactor_ref.emotion.options import RecoveryOptions
from mreactor_ref.errors import UsageError
from mreactor_runtime.run.shard import Shard
from mreactor_runtime.sampling_options import Sampling

LIMIT = re.compile(r"(\d+(?:\.\d+(?=%))?)(%?)")


@dataclass(frozen=True)
class Options:
    """Options of a run over a folder.

    Attributes:
        sampling: how each clip is sampled; None is the reactor's own, `Reactor.sampling`.
        max_errors: the run stops when more clips than this have failed, a number or a share such
            as "5%" of all clips; None is no limit.
        debug: an error that is nobody's clip is raised as it is, instead of failing its clip.
        recovery: how the reactor's source of priors was opened; run.json keeps it.
        batch_size: clips in one call of the sampler; None is what fits, and one on a CPU.
        resume: keep what an earlier run did, where it is what this run would do.
        overlap: read, sample and write at once. The results are the same.
        shard: the part of the clips to do; None is all.
        reading: how the files of clips are read.

    Raises:
        UsageError: a batch of less than one clip, or max_errors that are no number or share.
    """

    sampling: Sampling | None = None
    max_errors: int | str | None = None
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
        self.most_failed(0)

    def most_failed(self, clips: int) -> int | None:
        """How many of so many clips may fail; None is no limit."""
        if self.max_errors is None:
            return None
        match = LIMIT.fullmatch(str(self.max_errors))
        if match is None or (match[2] and float(match[1]) > 100):
            raise UsageError(
                f"max_errors is {self.max_errors!r}, neither a number of clips nor a share",
                fix="such as --max-errors 5 or --max-errors 5%",
            )
        return int(float(match[1]) * clips / 100) if match[2] else int(match[1])
