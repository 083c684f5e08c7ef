"""Temporal correlation in blocks against the reference, and what its bytes depend on."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from mreactor_ref.perception import TemporalCorrelation
from mreactor_ref.stages import ENCODING, listening
from mreactor_runtime.kernels import cpu_correlation
from mreactor_runtime.kernels.cpu_correlation import CpuCorrelation
from mreactor_runtime.kernels.cpu_threads import AHEAD

WIDTH = 32


def reference() -> TemporalCorrelation:
    torch.manual_seed(3)
    return TemporalCorrelation(WIDTH).requires_grad_(False)


def clips(lengths: list[int], frames: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Tokens (B, 3, frames, D) of clips so long, and masks; words last for some frames each."""
    g = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(len(lengths), 3, frames, WIDTH, generator=g)
    x[:, 1] = x[:, 1, torch.arange(frames) // 7]
    x[:, 2] = x[:, 2, :1]  # a stream that the clip does not have
    return x, torch.arange(frames) < torch.tensor(lengths)[:, None]


def exact(x: Tensor, mask: Tensor) -> Tensor:
    """The reference's weights in float64, of real frames."""
    weights = copy.deepcopy(reference()).double()(x.double(), mask)
    return weights.transpose(1, 2)[mask]


@pytest.mark.parametrize("lengths", [[1], [40, 64, 3], [700, 512]])
def test_it_is_the_reference_s(lengths: list[int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cpu_correlation, "KEYS", 100)  # so that keys come in several pieces
    x, mask = clips(lengths, max(lengths))
    weights = CpuCorrelation(reference(), threads=2)(x, mask)
    torch.testing.assert_close(
        weights.transpose(1, 2)[mask].double(), exact(x, mask), rtol=1e-5, atol=1e-6
    )
    assert (weights.transpose(1, 2)[~mask] == 0).all()


def test_scores_that_no_exponential_holds_are_no_trouble():
    x, mask = clips([300], 300)
    weights = CpuCorrelation(reference(), threads=1)(30 * x, mask)
    assert weights.isfinite().all()
    assert weights.mean().item() == pytest.approx(1, rel=1e-5)


def test_the_bytes_depend_on_neither_threads_padding_nor_other_clips():
    x, mask = clips([600, 900], 900)
    together = CpuCorrelation(reference(), threads=3)(x, mask)[0, :, :600]
    alone = CpuCorrelation(reference(), threads=1)(x[:1, :, :600], mask[:1, :600])[0]
    assert torch.equal(together, alone)


def test_it_tells_how_far_it_is():
    x, mask = clips([2000], 2000)
    parts: list[tuple[str, float]] = []
    with listening(lambda stage, part: parts.append((stage, part))):
        CpuCorrelation(reference(), threads=2)(x, mask)
    assert {stage for stage, _ in parts} == {ENCODING}
    shares = [part for _, part in parts]
    assert len(shares) > 10
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] <= 1


def test_an_interrupt_leaves_few_blocks_to_wait_for(monkeypatch: pytest.MonkeyPatch):
    begun: list[int] = []
    attended = cpu_correlation._attended

    def counting(queries: Tensor, *others: Any) -> Tensor:
        begun.append(len(queries))
        return attended(queries, *others)

    def interrupt(stage: str, part: float) -> None:
        if part > 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(cpu_correlation, "_attended", counting)
    x, mask = clips([3000], 3000)  # 27 blocks
    correlate = CpuCorrelation(reference(), threads=2)
    with pytest.raises(KeyboardInterrupt), listening(interrupt):
        correlate(x, mask)
    for _ in correlate._cores.results([lambda: None]):  # its turn comes after what was begun
        pass
    assert 2 <= len(begun) <= 2 + 2 * AHEAD
