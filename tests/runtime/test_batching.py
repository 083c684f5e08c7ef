import pytest

from mreactor_ref.config import CONFIGS
from mreactor_runtime.batching import (
    MOST_SLOTS,
    SCORE_BYTES,
    bucket,
    groups,
    reactions_at_once,
    slots,
)


@pytest.mark.parametrize(
    ("frames", "length"),
    [
        *((1, 64), (64, 64), (65, 128), (512, 512), (513, 640), (750, 768), (751, 768)),
        *((769, 896), (2048, 2048), (2049, 2560), (2560, 2560), (10_000, 10_240)),
    ],
)
def test_bucket_of_known_lengths(frames, length):
    assert bucket(frames) == length


def test_buckets_grow_with_the_clip_and_are_their_own_bucket():
    lengths = [bucket(frames) for frames in range(1, 6000)]
    assert lengths == sorted(lengths)
    assert all(length >= frames for frames, length in enumerate(lengths, 1))
    assert all(bucket(length) == length for length in set(lengths))
    assert len(set(lengths)) < 35  # few shapes to warm up
    assert max(lengths[frames - 1] / frames for frames in range(256, 6000)) <= 1.25


def test_a_clip_without_frames_is_an_error():
    with pytest.raises(ValueError, match="0 frames"):
        bucket(0)


def test_a_group_keeps_its_attention_scores_below_the_bound():
    for length in {bucket(frames) for frames in range(1, 6000)}:
        size = reactions_at_once(length, heads=4)
        assert size == 1 or size * 4 * length**2 * 4 <= SCORE_BYTES
        assert (size + 1) * 4 * length**2 * 4 > SCORE_BYTES
    assert reactions_at_once(768, heads=4) >= 10  # a usual clip in one go
    assert reactions_at_once(8192, heads=4) == 1


@pytest.mark.parametrize("samples", [1, 10, 37])
@pytest.mark.parametrize("length", [64, 1024, 4096])
def test_groups_are_all_reactions_once_in_order(samples, length):
    found = groups(samples, length, heads=4)
    assert [i for group in found for i in range(samples)[group]] == list(range(samples))
    sizes = [group.stop - group.start for group in found]
    assert set(sizes[:-1]) <= {reactions_at_once(length, heads=4)}


def test_slots_are_for_models_whose_clip_leaves_a_gpu_room():
    def of(model: str, samples: int, length: int) -> int:
        return slots(samples, length, CONFIGS[model].width)

    lengths = {bucket(frames) for frames in range(1, 20_000)}
    assert {of("base", samples, length) for samples in (1, 10) for length in lengths} == {1}
    assert {length: of("mini", 10, length) for length in (64, 768, 1024, 1536, 2560, 5120)} == {
        **{64: MOST_SLOTS, 768: MOST_SLOTS, 1024: 3, 1536: 2},
        **{2560: 1, 5120: 1},
    }
    assert slots(10, 64, width=16) == MOST_SLOTS
