import math

import pytest
import torch
from fakes.models import small_config
from scipy.linalg import sqrtm

from mreactor_ref.cognition import (
    Cognition,
    CognitionModule,
    TemporalContext,
    info_nce,
    masked_mean,
    wasserstein,
)

CLIPS, FRAMES, WIDTH = 16, 9, 16


def test_wasserstein_is_the_known_formula_for_gaussians():
    """W2^2 = |m - m'|^2 + tr(C + C' - 2 (C' C)^(1/2)), here per root of the width."""
    g = torch.Generator().manual_seed(0)
    a, b = torch.rand(2 * 5, generator=g) + 0.1, torch.rand(2 * 5, generator=g) + 0.1
    (m, s), (n, t) = (x.double().chunk(2) for x in (a, b))
    c, d = torch.diag(s**2), torch.diag(t**2)
    cross = torch.from_numpy(sqrtm((d @ c).numpy()).real)
    expected = ((m - n).square().sum() + torch.trace(c + d - 2 * cross)).sqrt() / math.sqrt(5)
    torch.testing.assert_close(wasserstein(a, b).double(), expected, rtol=1e-4, atol=1e-4)


def test_masked_mean_leaves_padding_out():
    x, mask = torch.randn(2, 3, 5, 4), torch.ones(2, 5, dtype=torch.bool)
    mask[1, 2:] = False
    torch.testing.assert_close(masked_mean(x, mask)[0], x[0].mean(1))
    torch.testing.assert_close(masked_mean(x, mask)[1], x[1, :, :2].mean(1))


def test_info_nce_is_log_b_without_information_and_falls_with_it():
    equal = torch.zeros(CLIPS, CLIPS)
    torch.testing.assert_close(info_nce(equal, 0.07), torch.tensor(math.log(CLIPS)))
    assert info_nce(torch.eye(CLIPS), 0.07) < 0.01
    assert info_nce(-torch.eye(CLIPS), 0.07) > math.log(CLIPS)


def cognition_of(face: torch.Tensor, sound: torch.Tensor) -> Cognition:
    """Fine and coarse factors that are projections of `face`, against `sound`: (B, T, D) each."""
    gaussians = torch.cat((face, torch.ones_like(face)), dim=-1)
    fused = torch.cat((sound, torch.ones_like(sound)), dim=-1)
    three = face[:, None].expand(-1, 3, -1, -1)
    return Cognition(face, three, sound, gaussians[:, None].expand(-1, 3, -1, -1), fused)


@pytest.mark.parametrize("paired", [True, False])
def test_contrastive_losses_fall_on_pairs_and_stay_at_log_b_on_shuffled_ones(paired: bool):
    """A linear map learns to match face and sound where they belong together, and only there.

    Shuffled means that the partner is drawn anew at every step, so nothing can be learned.
    """
    g = torch.Generator().manual_seed(0)
    module = CognitionModule(small_config())
    face_map, sound_map = torch.nn.Linear(6, WIDTH), torch.nn.Linear(6, WIDTH)
    parameters = [*module.parameters(), *face_map.parameters(), *sound_map.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.02)
    mask = torch.ones(CLIPS, FRAMES, dtype=torch.bool)

    def losses() -> tuple[torch.Tensor, torch.Tensor]:
        hidden = torch.randn(CLIPS, 1, 6, generator=g)
        face = hidden + 0.1 * torch.randn(CLIPS, FRAMES, 6, generator=g)
        partner = hidden if paired else hidden[torch.randperm(CLIPS, generator=g)]
        sound = partner + 0.1 * torch.randn(CLIPS, FRAMES, 6, generator=g)
        return module.losses(cognition_of(face_map(face), sound_map(sound)), mask)

    for _ in range(150):
        fine, coarse = losses()
        optimizer.zero_grad()
        (fine + coarse).backward()
        optimizer.step()
    with torch.no_grad():
        held_out = torch.tensor([losses() for _ in range(20)]).mean(0)
    if paired:
        assert (held_out < 0.3 * math.log(CLIPS)).all()
    else:
        assert (held_out > 0.9 * math.log(CLIPS)).all()


def test_the_scores_are_a_matrix_of_pairs_and_no_repeated_number():
    """Each row must hold different scores: a row of one number cannot teach anything."""
    module = CognitionModule(small_config())
    face, sound = torch.randn(CLIPS, FRAMES, WIDTH), torch.randn(CLIPS, FRAMES, WIDTH)
    mask = torch.ones(CLIPS, FRAMES, dtype=torch.bool)
    fine, coarse = module.losses(cognition_of(face.requires_grad_(), sound), mask)
    (fine + coarse).backward()
    assert face.grad is not None
    assert (face.grad.abs().sum((1, 2)) > 0).all()
    assert abs(fine.item() - math.log(CLIPS)) > 1e-3


def test_temporal_context_tells_before_from_after():
    context = TemporalContext(1, 3)
    with torch.no_grad():
        context.conv.weight.copy_(torch.tensor([[[1.0, 0, 0]]]))
        context.conv.bias.zero_()  # pyright: ignore[reportOptionalMemberAccess]
    x = torch.tensor([0.0, 1, 0, 0])[None, :, None]
    mask = torch.ones(1, 4, dtype=torch.bool)
    assert context(x, mask)[0, :, 0].tolist() == [0, 1, 1, 0]  # one frame later
