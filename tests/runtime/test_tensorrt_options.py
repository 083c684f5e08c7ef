import dataclasses

import pytest
from fakes.models import small_config
from fakes.tensorrt import FakeTensorRT

from mreactor_ref.config import CONFIGS
from mreactor_ref.errors import UsageError
from mreactor_runtime.batching import bucket, groups
from mreactor_runtime.engines.tensorrt.options import (
    LENGTH_EDGES,
    MOST_REACTIONS,
    BuildOptions,
    Profile,
    bucket_profiles,
    default_profiles,
    profiles_of,
)
from mreactor_runtime.tensors import graph_specs

HEADS = CONFIGS["base"].heads


def holds(profile: Profile, **sizes: int) -> bool:
    return all(profile.sizes[s][0] <= size <= profile.sizes[s][2] for s, size in sizes.items())


@pytest.mark.parametrize("samples", [1, 10, MOST_REACTIONS])
def test_the_default_profiles_hold_every_group_of_every_clip_length(samples):
    profiles = default_profiles(HEADS)
    for frames in range(1, LENGTH_EDGES[-1] + 1):
        length = bucket(frames)
        for group in groups(samples, length, HEADS):
            sizes = {"B": 1, "S": group.stop - group.start, "T": length, "N": 50}
            assert any(holds(profile, **sizes) for profile in profiles), sizes
    assert not any(holds(profile, B=1, S=1, T=LENGTH_EDGES[-1] + 1) for profile in profiles)
    assert all(holds(profile, B=3) for profile in default_profiles(HEADS, clips=3))


def test_a_bucket_profile_is_exactly_its_bucket_largest_first():
    profiles = bucket_profiles([60, 700, 3, 3000], HEADS, samples=10)
    assert [profile.sizes["T"] for profile in profiles] == [
        (3072, 3072, 3072),
        (768, 768, 768),
        (64, 64, 64),
    ]
    assert [profile.sizes["S"][2] for profile in profiles] == [1, 10, 10]


def test_shapes_come_from_the_table_and_a_graph_keeps_what_its_symbols_tell_apart():
    specs = graph_specs(small_config())
    profiles = bucket_profiles([64, 128], HEADS, samples=10)
    noisy = specs["denoiser"].inputs[0]
    assert profiles[0].shapes(noisy) == ((1, 1, 128, 83), (1, 10, 128, 83), (1, 10, 128, 83))
    assert len(profiles_of(specs["denoiser"], profiles)) == 2
    (only,) = profiles_of(specs["modulator"], profiles)
    assert only.to_dict() == {"N": [1, 10, 1000]}


@pytest.mark.parametrize("sizes", [(0, 1, 2), (2, 1, 3), (1, 4, 3)])
def test_sizes_that_are_not_in_order_are_refused(sizes):
    with pytest.raises(UsageError, match="profile of T"):
        Profile({"T": sizes})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"builder_optimization_level": 6}, "level is 6, not 0 to 5"),
        ({"hardware_compatibility_level": "ampere"}, "'ampere', not one of none, ampere"),
        ({"profiling_verbosity": "all"}, "'all', not one of"),
        ({"compute_capabilities": ("current", "89")}, "is the only compute capability"),
    ],
)
def test_a_build_option_without_sense_is_refused(wrong, said):
    with pytest.raises(UsageError, match=said):
        BuildOptions(**wrong)


@pytest.mark.parametrize(
    ("package", "options", "said"),
    [
        ("tensorrt", {"compute_capabilities": ("89",)}, "has no --computeCapabilities"),
        ("tensorrt-rtx", {"version_compatible": True}, "has no --versionCompatible"),
        (
            "tensorrt-rtx",
            {"hardware_compatibility_level": "ampere+", "timing_cache_file": "x"},
            "has no --hardwareCompatibilityLevel, --timingCacheFile",
        ),
    ],
)
def test_an_option_of_the_other_package_is_refused(package, options, said):
    with pytest.raises(UsageError, match=said):
        BuildOptions(**options).check(FakeTensorRT(package, "11").tensorrt, has_gpu=True)


@pytest.mark.parametrize(
    ("package", "options", "needs_gpu"),
    [
        ("tensorrt", {}, True),
        ("tensorrt-rtx", {}, False),
        ("tensorrt-rtx", {"compute_capabilities": ("86", "120")}, False),
        ("tensorrt-rtx", {"compute_capabilities": ("current",)}, True),
        ("tensorrt-rtx", {"refit": True}, True),
    ],
)
def test_what_needs_a_gpu_says_so_where_there_is_none(package, options, needs_gpu):
    tensorrt = FakeTensorRT(package).tensorrt
    build = BuildOptions(**options)
    build.check(tensorrt, has_gpu=True)
    if needs_gpu:
        with pytest.raises(UsageError, match="needs a GPU to build"):
            build.check(tensorrt, has_gpu=False)
    else:
        build.check(tensorrt, has_gpu=False)


def test_every_option_but_the_timing_cache_is_a_flag_of_the_key():
    fields = {field.name for field in dataclasses.fields(BuildOptions)}
    assert set(BuildOptions().flags()) == fields - {"timing_cache_file"}
