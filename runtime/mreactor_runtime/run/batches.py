"""How many clips go into one call of the sampler: as many as are asked for, and as memory holds.

A reaction is the same in any batch, so a batch that is too large for the memory is halved and done
again, and nothing but time is lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from mreactor_ref.errors import ClipError, MReactorError
from mreactor_runtime.batching import bucket
from mreactor_runtime.engines.names import CUDA
from mreactor_runtime.reactor import ClipReactions
from mreactor_runtime.run.reading import Read

# Frames of all reactions in one call, where it is left to us: enough to keep a large GPU at work,
# 16 usual clips with ten reactions each.
AUTO_FRAMES = 16 * 10 * 768
LARGEST_AUTO = 16  # clips

# How the engines say it. Their errors have no class in common.
NO_MEMORY = (
    *("out of memory", "allocate memory", "failed to allocate"),
    *("alloc_failed", "bad_alloc", "bad allocation"),
)

Result = ClipReactions | Exception
Generate = Callable[[Sequence[Read]], Sequence[ClipReactions | ClipError]]


@dataclass(frozen=True)
class Sampled:
    """Clips that were sampled together, each with its result or error, and how long it took."""

    results: Sequence[tuple[Read, Result]]
    seconds: float


class Batches:
    """Samples clips in batches that fit into memory.

    Args:
        generate: reactions of clips of one bucket, in their order.
        device: where it runs.
        samples: reactions of a clip.
        size: clips at once at the most; None is one on a CPU, where work is cut to fit its caches
            anyhow, and on a GPU as many as keep it busy.
        say: told once that a batch did not fit.
        free: gives back memory that is kept for speed, before the next try.
    """

    def __init__(
        self,
        generate: Generate,
        device: str,
        samples: int,
        size: int | None,
        say: Callable[[str], None],
        free: Callable[[], None],
    ):
        self._generate, self._device, self._samples = generate, device, samples
        self._say, self._free = say, free
        self._said = False
        self._most_clips = size or (LARGEST_AUTO if device == CUDA else 1)
        # Frames of all reactions that have fitted, or are taken to fit; None is no limit.
        self._most_frames = AUTO_FRAMES if size is None else None

    @property
    def largest(self) -> int:
        """Clips in any batch, at the most."""
        return self._most_clips

    def run(self, reads: Sequence[Read]) -> Iterator[Sampled]:
        """All clips of one bucket, batch by batch, in their order.

        Raises:
            MReactorError: other than ClipError: wrong for every clip.
        """
        first = 0
        while first < len(reads):
            batch = reads[first : first + self._fitting(reads[first])]
            started = time.perf_counter()
            results = self._try(batch)
            if results is None:
                continue  # the limit is lower now
            seconds = time.perf_counter() - started
            yield Sampled(list(zip(batch, results, strict=True)), seconds)
            first += len(batch)

    def _frames(self, read: Read) -> int:
        return self._samples * bucket(read.frames)

    def _fitting(self, read: Read) -> int:
        """Clips as long as this in one batch."""
        if self._most_frames is None:
            return self._most_clips
        return max(1, min(self._most_clips, self._most_frames // self._frames(read)))

    def _try(self, batch: Sequence[Read]) -> Sequence[Result] | None:
        """The results of a batch; None where it was too large for the memory."""
        try:
            return list(self._generate(batch))
        except Exception as error:
            if isinstance(error, MReactorError) and not isinstance(error, ClipError):
                raise
            no_memory = is_out_of_memory(error)
            # Without the frames that it came through, which hold what fills the memory.
            problem = error.with_traceback(None) if no_memory else error
        if no_memory:
            self._free()
        if len(batch) == 1:
            return [self._too_large(batch[0]) if no_memory else problem]
        if not no_memory:  # one of them: find it, and do the others
            return [self._alone(read) for read in batch]
        self._most_frames = len(batch) // 2 * self._frames(batch[0])
        if not self._said:
            self._said = True
            self._say(
                f"{len(batch)} clips of up to {bucket(batch[0].frames)} frames are more than the "
                "memory holds: batches are halved, the results are the same (--batch-size sets it)"
            )
        return None

    def _alone(self, read: Read) -> Result:
        [result] = self._try([read]) or [self._too_large(read)]
        return result

    def _too_large(self, read: Read) -> ClipError:
        return ClipError(
            f"no memory for {self._samples} reactions to this clip alone ({read.frames} frames)",
            read.clip.id,
            "give fewer --samples, cut the clip"
            + (", or use --device cpu" if self._device == CUDA else ""),
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of PyTorch or of an engine says that memory did not suffice."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return any(words in text for words in NO_MEMORY)
