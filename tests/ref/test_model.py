from dataclasses import replace

import pytest
import torch
from fakes.models import random_batch, random_model, small_config
from torch import Tensor

from mreactor_ref.config import ATTENTIONS, MAX_LAYERS, Attention
from mreactor_ref.denoiser import Context, guide
from mreactor_ref.model import (
    Batch,
    MReactor,
    generation_loss,
    taps,
    to_reaction,
    training_losses,
)
from mreactor_ref.signals import (
    AFFECT_SLICE,
    AU_SLICE,
    EXPRESSION_SLICE,
    NO_EMOTION,
    REACTION,
    REACTION_COEFFICIENTS,
)


def noisy_reactions(batch: Batch, seed: int = 5) -> Tensor:
    shape = (*batch.emotion.shape, REACTION)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def denoise(model: MReactor, batch: Batch, noisy: Tensor, guidance: float = 2.0) -> Tensor:
    modulation = model.modulate(torch.tensor([700]))[0]
    context = model.encode(batch)
    return model.denoise(noisy, modulation, context, batch.mask, torch.tensor(guidance))


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("layers", [1, 6, MAX_LAYERS])
def test_every_kind_of_attention_and_number_of_layers_gives_a_reaction(
    attention: Attention, layers: int
):
    config = small_config(attention, layers)
    model, batch = random_model(config), random_batch(config)
    clean = denoise(model, batch, noisy_reactions(batch))
    assert clean.shape == (2, 3, 11, REACTION)
    assert clean.isfinite().all()
    other = replace(batch, sound=batch.sound + 1)
    assert not torch.allclose(clean, denoise(model, other, noisy_reactions(batch)))


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_null_shortcut_is_exact(attention: Attention):
    """The branch without cross-attention equals attention to the null token at every frame."""
    config = small_config(attention)
    model, batch = random_model(config), random_batch(config)
    denoiser, noisy = model.denoiser, noisy_reactions(batch)
    modulation = model.modulate(torch.tensor([700]))[0]
    condition = denoiser.null_token.expand(2, 11, -1)
    none = torch.full_like(batch.emotion, NO_EMOTION)
    style = batch.smoothness, batch.listener
    context = denoiser.make_context(condition, none, 0 * batch.affect, *style)
    torch.testing.assert_close(
        denoiser.unconditional(noisy, modulation, context.style, batch.mask),
        denoiser.conditional(noisy, modulation, context, batch.mask),
    )


def test_guidance_goes_from_unconditional_through_conditional():
    unconditional, conditional = torch.tensor([1.0, -2.0]), torch.tensor([3.0, -2.0])
    for scale, expected in ((0.0, [1, -2]), (1.0, [3, -2]), (2.5, [6, -2])):
        assert guide(unconditional, conditional, scale).tolist() == expected


def test_guidance_zero_ignores_the_speaker_and_one_is_the_conditional_branch():
    config = small_config()
    model, batch = random_model(config), random_batch(config)
    noisy, other = noisy_reactions(batch), random_batch(config, seed=9)
    other = replace(other, smoothness=batch.smoothness, listener=batch.listener)
    zero = denoise(model, batch, noisy, 0.0)
    torch.testing.assert_close(zero, denoise(model, other, noisy, 0.0))
    modulation, context = model.modulate(torch.tensor([700]))[0], model.encode(batch)
    one = model.denoiser.conditional(noisy, modulation, context, batch.mask)
    torch.testing.assert_close(denoise(model, batch, noisy, 1.0), one)


def test_reactions_and_clips_of_a_batch_are_independent():
    config = small_config()
    model, batch = random_model(config), random_batch(config)
    noisy = noisy_reactions(batch)
    together = denoise(model, batch, noisy)
    fields = vars(batch)
    one_clip = Batch(**{name: x[1:] for name, x in fields.items()})
    torch.testing.assert_close(denoise(model, one_clip, noisy[1:]), together[1:])
    per_reaction = {
        name: fields[name][:, 2:] for name in ("emotion", "affect", "smoothness", "listener")
    }
    torch.testing.assert_close(
        denoise(model, replace(batch, **per_reaction), noisy[:, 2:]), together[:, 2:]
    )


def test_a_padded_clip_is_what_it_is_alone():
    config = small_config()
    model, batch = random_model(config), random_batch(config)
    noisy = noisy_reactions(batch)
    batch.mask[1, 7:] = False
    padded = denoise(model, batch, noisy)[1, :, :7]
    cut = {
        "emotion": batch.emotion[1:, :, :7],
        "affect": batch.affect[1:, :, :7],
        "smoothness": batch.smoothness[1:],
        "listener": batch.listener[1:],
        "present": batch.present[1:],
    }
    streams = ("sound", "words", "coefficients", "attributes", "mask")
    cut |= {name: getattr(batch, name)[1:, :7] for name in streams}
    torch.testing.assert_close(padded, denoise(model, Batch(**cut), noisy[1:, :, :7])[0])


@pytest.mark.parametrize("field", ["emotion", "affect", "smoothness", "listener"])
def test_the_controls_of_a_reaction_change_only_that_reaction(field: str):
    config = small_config()
    model, batch = random_model(config), random_batch(config)
    noisy = noisy_reactions(batch)
    value = getattr(batch, field).clone()
    value[:, 1] = (value[:, 1] + 1) % 20 if field == "emotion" else value[:, 1] + 1
    before, after = (
        denoise(model, batch, noisy),
        denoise(model, replace(batch, **{field: value}), noisy),
    )
    torch.testing.assert_close(before[:, [0, 2]], after[:, [0, 2]])
    assert not torch.allclose(before[:, 1], after[:, 1])


def test_any_streams_may_be_missing():
    config = small_config()
    model, batch = random_model(config), random_batch(config)
    noisy = noisy_reactions(batch)
    seen = []
    for present in ([1, 1, 1, 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]):
        hidden = replace(batch, present=torch.tensor([present, present], dtype=torch.float32))
        seen.append(denoise(model, hidden, noisy))
        assert seen[-1].isfinite().all()
    assert all(not torch.allclose(seen[0], other) for other in seen[1:])


def test_taps_name_the_intermediates_and_the_maps():
    config = small_config()
    model, batch = random_model(config), random_batch(config)
    with taps(model) as seen:
        clean = denoise(model, batch, noisy_reactions(batch))
    shape = (2, 3, config.heads, 11, 11)
    for layer in range(config.layers):
        assert seen[f"denoiser.layers.{layer}"].shape == (2, 3, 11, config.width)
        for kind in ("relative", "subject"):
            weights = seen[f"denoiser.layers.{layer}.{kind}.attend.weights"]
            torch.testing.assert_close(weights.expand(shape).sum(-1), torch.ones(shape[:-1]))
        assert f"denoiser.layers.{layer}.relative#1" in seen  # the second branch
        assert f"denoiser.layers.{layer}.subject#1" not in seen  # which has no cross-attention
    conditional, unconditional = seen["denoiser"], seen["denoiser#1"]
    torch.testing.assert_close(clean, guide(unconditional, conditional, 2.0))
    count = len(seen)
    denoise(model, batch, noisy_reactions(batch))
    assert len(seen) == count  # closed


def test_an_untrained_model_predicts_the_mean():
    """adaLN-zero: every gate and the output start at zero."""
    config = small_config()
    model, batch = MReactor(config).eval(), random_batch(config)
    with torch.no_grad():
        assert (denoise(model, batch, noisy_reactions(batch)) == 0).all()


def test_results_are_in_their_ranges():
    mean, std = torch.randn(REACTION), torch.rand(REACTION) + 0.5
    x = 3 * torch.randn(4, 7, REACTION)
    reaction = to_reaction(x, mean, std)
    assert reaction[..., AU_SLICE].aminmax() == (0, 1)
    assert reaction[..., AFFECT_SLICE].aminmax() == (-1, 1)
    expressions = reaction[..., EXPRESSION_SLICE]
    assert (expressions >= 0).all()
    torch.testing.assert_close(expressions.sum(-1), torch.ones(4, 7))
    torch.testing.assert_close(
        reaction[..., REACTION_COEFFICIENTS], (x * std + mean)[..., REACTION_COEFFICIENTS]
    )


def test_the_generation_loss_is_eq_5_over_real_frames():
    clean, target = torch.zeros(1, 1, 4, REACTION), torch.ones(1, 1, 4, REACTION)
    mask = torch.tensor([[True, True, False, False]])
    target[:, :, 2:] = 100
    torch.testing.assert_close(generation_loss(clean, target, mask, 1.0), torch.tensor(1.0))
    target[..., REACTION_COEFFICIENTS] = 2
    torch.testing.assert_close(generation_loss(clean, target, mask, 3.0), torch.tensor(13 / 4))


def losses_of(model: MReactor, batch: Batch, dropped: Tensor) -> Tensor:
    noisy, target = noisy_reactions(batch), noisy_reactions(batch, seed=6)
    timestep = torch.full(batch.smoothness.shape, 500)
    return training_losses(model, batch, target, noisy, timestep, dropped).total


def test_every_parameter_learns():
    config = small_config()
    model = random_model(config).requires_grad_(True)
    batch = random_batch(config, clips=4)
    batch.present[2, 0], batch.present[2, 1], batch.present[3, 2:] = 0, 0, 0
    losses_of(model, batch, torch.tensor([False, False, False, True])).backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert still == []


def test_with_everything_dropped_the_loss_does_not_see_the_speaker():
    config = small_config()
    model = random_model(config)
    batch, noisy = random_batch(config), None
    timestep, dropped = torch.full((2, 3), 500), torch.tensor([True, True])
    noisy, target = noisy_reactions(batch), noisy_reactions(batch, seed=6)
    other = replace(
        random_batch(config, seed=9), smoothness=batch.smoothness, listener=batch.listener
    )
    first, second = (
        training_losses(model, b, target, noisy, timestep, dropped).generation
        for b in (batch, other)
    )
    torch.testing.assert_close(first, second)


def test_a_context_is_the_same_at_every_step():
    """Keys, values, style and condition come from the clip alone."""
    config = small_config()
    context = random_model(config).encode(random_batch(config))
    assert isinstance(context, Context)
    assert context.keys.shape == (2, config.layers, 11, config.width)
    assert context.values.shape == (2, 3, config.layers, 11, config.width)
    assert context.style.shape == (2, 3, config.width)
