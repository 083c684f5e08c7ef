"""The noise: its recipe, its distribution, and that each number depends on its key alone."""

import hashlib
import math

import numpy as np
import pytest
from scipy import stats

from mreactor_ref.errors import UsageError
from mreactor_ref.noise import INITIAL, normal, reaction_noise

MASK = 2**64 - 1
T, C = 750, 83

PINNED_INITIAL = [
    [-0.01980404369533062, 0.5553327798843384, 1.0990301370620728],
    [-0.12280121445655823, 0.7089889645576477, 0.850604236125946],
]
PINNED_LATER = [[-0.505757749080658, 0.9195871353149414, 0.4639986753463745]]


def philox(key, counter):
    """One block of Philox 4x64-10, from the paper (Salmon et al. 2011, section 4.3)."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2E7470EE14C6C93 * c0, 0xCA5A826395121157 * c2
        c0, c1, c2, c3 = (p1 >> 64) ^ c1 ^ k0, p1 & MASK, (p0 >> 64) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return c0, c1, c2, c3


def test_our_philox_has_the_known_answers():
    """The first two vectors of Random123's kat_vectors for philox4x64-10."""
    assert philox((0, 0), (0, 0, 0, 0)) == (
        *(0x16554D9ECA36314C, 0xDB20FE9D672D0FDC),
        *(0xD7E772CEE186176B, 0x7E68B68AEC7BA23B),
    )
    assert philox((MASK, MASK), (MASK,) * 4) == (
        *(0x87B092C3013FE90B, 0x438C3C67BE8D0224),
        *(0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0),
    )


@pytest.mark.parametrize("step", [INITIAL, 0, 1, 999])
def test_the_noise_follows_its_recipe(step):
    seed, clip_id, reaction, frames, channels = -7, "séance/01", 3, 5, 7
    text = f"mreactor noise 1\0{seed}\0{reaction}\0{clip_id}"
    digest = hashlib.sha256(text.encode()).digest()
    key = tuple(int.from_bytes(digest[i : i + 8], "little") for i in (0, 8))
    words = [w for block in range(1, 11) for w in philox(key, (block, step + 1, 0, 0))]
    expected = []
    for first, second in zip(words[::2], words[1::2], strict=True):
        radius = math.sqrt(-2 * math.log(1 - (first >> 11) / 2**53))
        angle = 2 * math.pi * (second >> 11) / 2**53
        expected += [radius * math.cos(angle), radius * math.sin(angle)]
    ours = normal(seed, clip_id, reaction, step, frames, channels)
    assert ours.shape == (frames, channels)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours.ravel(), expected[: frames * channels], rtol=2e-7)


def test_the_noise_of_today_is_that_of_the_first_release():
    np.testing.assert_allclose(normal(0, "clip", 0, INITIAL, 2, 3), PINNED_INITIAL, rtol=2e-7)
    np.testing.assert_allclose(normal(42, "train/a", 9, 49, 1, 3), PINNED_LATER, rtol=2e-7)


def test_the_noise_is_standard_normal():
    noise = reaction_noise(1, ["a", "b"], range(5), 2, T, C).ravel().astype(np.float64)
    count = len(noise)
    assert np.isfinite(noise).all()
    # Four standard errors of each moment of a normal sample.
    assert abs(noise.mean()) < 4 / math.sqrt(count)
    assert abs(noise.var() - 1) < 4 * math.sqrt(2 / count)
    assert abs(stats.skew(noise)) < 4 * math.sqrt(6 / count)
    assert abs(stats.kurtosis(noise)) < 4 * math.sqrt(24 / count)
    assert stats.kstest(noise, "norm").pvalue > 0.01
    for bound in (3, 4):
        expected = 2 * stats.norm.sf(bound) * count
        assert abs((np.abs(noise) > bound).sum() - expected) < 4 * math.sqrt(expected)


def test_neighbours_in_a_frame_and_over_time_are_independent():
    noise = normal(0, "a", 0, 0, 20_000, 4).astype(np.float64)
    bound = 4 / math.sqrt(len(noise))
    squared = noise**2  # the two normals of a pair share their radius
    for values in (noise, squared):
        correlation = np.corrcoef(values.T)
        assert np.abs(correlation - np.eye(4)).max() < bound
        lagged = np.corrcoef(values[1:, 0], values[:-1, 3])[0, 1]
        assert abs(lagged) < bound


def test_each_part_of_the_key_makes_other_noise():
    base = dict(seed=0, clip_id="a", reaction=0, step=0)
    others = [
        *(dict(base, seed=seed) for seed in (1, -1, 2**64, 2**200)),
        *(dict(base, clip_id=clip_id) for clip_id in ("b", "", "a/a", "A", "a\0", "0\0a")),
        *(dict(base, reaction=reaction) for reaction in (1, 10)),
        *(dict(base, step=step) for step in (INITIAL, 1, 2, 999)),
    ]
    noise = np.stack([normal(**key, frames=T, channels=C) for key in (base, *others)])
    correlation = np.corrcoef(noise.reshape(len(noise), -1))
    assert np.abs(correlation - np.eye(len(noise))).max() < 5 / math.sqrt(T * C)
    # Streams that overlap at an offset would share values without any correlation.
    assert len(np.unique(noise)) > 0.98 * noise.size


def test_a_number_in_the_clip_id_is_not_taken_for_seed_or_reaction():
    assert not np.array_equal(normal(1, "2\0a", 0, 0, 2, 2), normal(1, "a", 2, 0, 2, 2))
    assert not np.array_equal(normal(1, "1", 11, 0, 2, 2), normal(1, "11", 1, 0, 2, 2))


@pytest.mark.parametrize("channels", [1, 2, 83])
def test_the_first_frames_are_the_same_for_any_number_of_frames(channels):
    longest = normal(5, "clip", 1, 7, 1024, channels)
    for frames in (0, 1, 2, 3, 5, 8, 127, 750, 751, 1023):
        shorter = normal(5, "clip", 1, 7, frames, channels)
        assert shorter.tobytes() == longest[:frames].tobytes()


def test_a_reaction_is_the_same_in_any_batch_and_order():
    whole = reaction_noise(3, ["a", "b", "c"], range(4), 2, 10, C)
    assert whole.shape == (3, 4, 10, C)
    assert whole.dtype == np.float32
    part = reaction_noise(3, ["c", "a"], [3, 1], 2, 10, C)
    assert np.array_equal(part, whole[[2, 0]][:, [3, 1]])
    assert np.array_equal(whole[1, 2], normal(3, "b", 2, 2, 10, C))


def test_a_clip_id_may_be_any_file_name():
    undecodable = b"\xff.wav".decode("utf-8", "surrogateescape")
    first, second = (normal(0, name, 0, 0, 2, 2) for name in (undecodable, "日本/\u0301"))
    assert not np.array_equal(first, second)


def test_a_seed_may_be_a_number_of_numpy():
    assert np.array_equal(
        normal(np.int64(-3), "a", np.uint8(1), 0, 2, 2), normal(-3, "a", 1, 0, 2, 2)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(reaction=-1, step=0), "reaction is -1, not at least 0"),
        (dict(reaction=0, step=-2), "step is -2, not at least -1"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(UsageError) as error:
        normal(seed=0, clip_id="a", frames=1, channels=1, **arguments)
    assert str(error.value) == message
