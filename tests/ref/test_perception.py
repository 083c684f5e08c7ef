import torch
from fakes.models import random_batch, random_model, small_config

from mreactor_ref.perception import TemporalCorrelation, mask_loss, straight_through_mask


def test_the_mask_is_hard_forward_and_soft_backward():
    threshold, temperature = 0.2, 0.1
    cosine = torch.tensor([-0.5, 0.19, 0.2, 0.21, 0.9], requires_grad=True)
    mask = straight_through_mask(cosine, threshold, temperature)
    assert mask.tolist() == [0, 0, 1, 1, 1]
    mask.sum().backward()
    soft = torch.sigmoid((cosine.detach() - threshold) / temperature)
    torch.testing.assert_close(cosine.grad, soft * (1 - soft) / temperature)


def test_frames_weigh_what_attention_they_receive():
    correlate = TemporalCorrelation(8)
    x, mask = torch.randn(2, 3, 7, 8), torch.ones(2, 7, dtype=torch.bool)
    mask[1, 5:] = False
    weights = correlate(x, mask)
    assert weights.shape == (2, 3, 7)
    assert (weights[0] >= 0).all()
    torch.testing.assert_close(weights[0].mean(), torch.tensor(1.0))
    torch.testing.assert_close(weights[1, :, :5].mean(), torch.tensor(1.0))
    assert (weights[1, :, 5:] == 0).all()
    alone = correlate(x[1:, :, :5], mask[1:, :5])
    torch.testing.assert_close(weights[1:, :, :5], alone)


def test_a_frame_that_all_queries_point_to_weighs_most():
    correlate = TemporalCorrelation(4)
    with torch.no_grad():
        for linear in (correlate.to_query, correlate.to_key):
            linear.weight.copy_(torch.eye(4))
            linear.bias.zero_()
    x = 0.1 * torch.ones(1, 3, 5, 4)
    x[0, 2, 3] = 10.0
    weights = correlate(x, torch.ones(1, 5, dtype=torch.bool))
    assert weights.flatten().argmax() == 2 * 5 + 3


def test_masked_streams_are_masked_projections_and_words_are_kept():
    config = small_config()
    model, batch = random_model(config), random_batch(config)
    perception, _ = model.understand(batch)
    assert set(perception.masks.unique().tolist()) == {0.0, 1.0}
    assert (perception.masks[:, 1] == 1).all()
    torch.testing.assert_close(
        perception.masked, perception.projected * perception.masks[..., None]
    )
    dropped = perception.projected.square().mean(-1) * (1 - perception.masks)
    torch.testing.assert_close(mask_loss(perception, batch.mask), dropped.mean())


def test_a_missing_stream_is_the_same_whatever_it_holds():
    config = small_config()
    model, batch = random_model(config), random_batch(config)
    batch.present[:, 2] = 0
    before, _ = model.understand(batch)
    batch.coefficients.fill_(float("nan"))
    after, cognition = model.understand(batch)
    assert torch.equal(before.projected, after.projected)
    assert cognition.condition.isfinite().all()
