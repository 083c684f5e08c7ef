"""The noise of reactions, drawn in threads before the sampler asks for it.

To draw the noise of a clip takes a core longer than a GPU takes for the clip itself. So several
threads draw, a reaction each, and the noise that comes next is drawn while the sampler works.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mreactor_ref.noise import normal
from mreactor_ref.signals import REACTION
from mreactor_runtime.transfer import host_memory, to_device

AHEAD = 2  # draws that are made while an earlier one is in use; each takes memory


@dataclass(frozen=True)
class Draw:
    """Which noise: that of `mreactor_ref.noise.normal`, for some reactions to one clip."""

    seed: int
    clip_id: str
    reactions: range
    step: int
    frames: int


class NoiseAhead:
    """Makes draws that were announced, in their order.

    Args:
        draws: all that will be taken. threads: that draw. device: where the noise is wanted.
    """

    def __init__(self, draws: Iterable[Draw], threads: Executor, device: torch.device):
        self._to_start, self._threads, self._device = deque(draws), threads, device
        self._drawing: deque[tuple[Draw, Tensor, list[Future[Any]]]] = deque()

    def take(self, draw: Draw) -> Tensor:
        """The next noise, (1, S, T, 83) float32 on the device.

        Raises: ValueError: another draw was announced in this place, or none.
        """
        while self._to_start and len(self._drawing) <= AHEAD:
            self._drawing.append(self._start(self._to_start.popleft()))
        if not self._drawing or self._drawing[0][0] != draw:
            raise ValueError(f"{draw} was not announced as the next draw")
        _, noise, futures = self._drawing.popleft()
        for future in futures:
            future.result()
        return to_device(noise, self._device)

    def _start(self, draw: Draw) -> tuple[Draw, Tensor, list[Future[Any]]]:
        shape = (1, len(draw.reactions), draw.frames, REACTION)
        noise = host_memory(shape, torch.float32, self._device)
        rows = noise[0].numpy()

        def fill(row: int, reaction: int) -> None:
            drawn = normal(draw.seed, draw.clip_id, reaction, draw.step, draw.frames, REACTION)
            np.copyto(rows[row], drawn)

        futures = [self._threads.submit(fill, s, r) for s, r in enumerate(draw.reactions)]
        return draw, noise, futures
