"""The kernels of the fused denoiser against their twins, and the whole against the reference's."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from fakes.models import random_model, small_config
from fakes.triton_modes import DEVICE, needs_kernels
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mreactor_ref.config import CONFIGS
from mreactor_ref.denoiser import Context, Denoiser, guide
from mreactor_runtime.kernels.gpu_fused import EAGER, LAUNCHED, FusedDenoiser, Kernels, fits
from mreactor_runtime.kernels.step import launch_step

pytestmark = pytest.mark.gpu  # on a GPU where there is one

MODELS = 4
# Relative L2 of a step, mean of MODELS random models: those of `test_gpu_denoiser.py`.
BOUNDS = {torch.float32: 1e-6, torch.float16: 5e-4, torch.bfloat16: 4e-3}
KERNELS = [EAGER, pytest.param(LAUNCHED, marks=needs_kernels)]
COUNT = 3  # reactions


def inputs_of(denoiser: Denoiser, frames: int, *real: int, seed: int = 0):
    """Noisy reactions, modulation, context and mask of clips with so many real frames."""
    generator = torch.Generator().manual_seed(seed)
    width, layers, clips = denoiser.norm.normalized_shape[0], len(denoiser.layers), len(real)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(DEVICE)

    context = Context(
        condition=normal(clips, frames, width),
        keys=normal(clips, layers, frames, width),
        values=normal(clips, COUNT, layers, frames, width),
        style=normal(clips, COUNT, width),
    )
    noisy = normal(clips, COUNT, frames, 83)
    mask = torch.arange(frames, device=DEVICE)[None] < torch.tensor(real, device=DEVICE)[:, None]
    return noisy, normal(denoiser.step.modulations, width), context, mask


def random_denoiser(seed: int = 0, layers: int = 2) -> Denoiser:
    return random_model(small_config(layers=layers), seed).denoiser.to(DEVICE)


def error(found: Tensor, expected: Tensor, mask: Tensor) -> float:
    """Relative L2, of real frames."""
    real = mask[:, None, :, None]
    return float(((found - expected) * real).norm() / (expected * real).norm())


@pytest.mark.parametrize("kernels", KERNELS, ids=["eager", "launched"])
@pytest.mark.parametrize("dtype", BOUNDS)
def test_each_branch_is_the_references(kernels: Kernels, dtype: torch.dtype):
    if kernels is LAUNCHED and dtype == torch.bfloat16 and DEVICE.type == "cpu":
        pytest.skip("Triton's interpreter cuts bfloat16 off where a GPU rounds")
    errors = []
    for seed in range(MODELS):
        denoiser = random_denoiser(seed)
        noisy, modulation, context, mask = given = inputs_of(denoiser, 20, 17, seed=seed)
        fused = FusedDenoiser(denoiser, dtype, kernels)
        conditional, both = fused.conditional(*given), fused.branches(*given)
        assert conditional.dtype == both.dtype == torch.float32
        expected = denoiser.conditional(*given)
        without = denoiser.unconditional(noisy, modulation, context.style, mask)
        pairs = (conditional, expected), (both[:, :COUNT], expected), (both[:, COUNT:], without)
        errors.append([error(*pair, mask) for pair in pairs])
    assert (torch.tensor(errors).mean(dim=0) < BOUNDS[dtype]).all()


@pytest.mark.parametrize("kernels", KERNELS, ids=["eager", "launched"])
@pytest.mark.parametrize(("frames", "real"), [(1, (1,)), (65, (65, 1)), (100, (64, 97))])
def test_awkward_lengths_and_several_clips(kernels: Kernels, frames: int, real: tuple[int, ...]):
    """Blocks of frames that are not full, that are all padding, and that reach another clip."""
    denoiser = random_denoiser(layers=1)
    given = inputs_of(denoiser, frames, *real)
    noisy, modulation, context, mask = given
    both = FusedDenoiser(denoiser, torch.float32, kernels).branches(*given)
    assert both.isfinite().all()
    expected = denoiser.conditional(*given)
    without = denoiser.unconditional(noisy, modulation, context.style, mask)
    assert error(both[:, :COUNT], expected, mask) < 1e-6
    assert error(both[:, COUNT:], without, mask) < 1e-6


@needs_kernels
@pytest.mark.slow
def test_the_sizes_of_mini():
    """Blocks of its widths, heads of 32 channels, and 25 taps; `base` has twice the width."""
    config = replace(CONFIGS["mini"], layers=1)
    denoiser = random_model(config, spread=0.05).denoiser.to(DEVICE)
    given = inputs_of(denoiser, 40, 37)
    both = FusedDenoiser(denoiser, torch.float32, LAUNCHED).branches(*given)
    assert error(both[:, :COUNT], denoiser.conditional(*given), given[3]) < 1e-6


def test_guided_branches_are_the_references_step():
    denoiser = random_denoiser()
    given = inputs_of(denoiser, 20, 17)
    c, u = FusedDenoiser(denoiser, torch.float32).branches(*given).chunk(2, dim=1)
    scale = torch.tensor(7.5, device=DEVICE)
    assert error(guide(u, c, scale), denoiser.denoise(*given, scale), given[3]) < 1e-6


@needs_kernels
@pytest.mark.parametrize("without", [0, 1])
def test_a_reaction_alone_gives_the_same_bytes(without: int):
    denoiser = random_denoiser()
    noisy, modulation, context, mask = inputs_of(denoiser, 70, 66)
    fused = FusedDenoiser(denoiser, torch.float16, LAUNCHED)
    together = fused.branches(noisy, modulation, context, mask)
    one = replace(context, values=context.values[:, 1:2], style=context.style[:, 1:2])
    alone = fused.branches(noisy[:, 1:2].contiguous(), modulation, one, mask)
    assert torch.equal(alone[:, without], together[:, without * COUNT + 1])


@needs_kernels
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numpy, at what is not a number
@pytest.mark.parametrize("guided", [False, True])
def test_a_clip_gives_the_same_bytes_in_any_slot_whatever_its_neighbours(guided: bool):
    denoiser = random_denoiser()
    noisy, modulation, context, mask = inputs_of(denoiser, 64, 50, 64, 1, 33)
    fused, slots = FusedDenoiser(denoiser, torch.float16, LAUNCHED), len(noisy)
    scale = torch.tensor(2.0, device=DEVICE) if guided else None

    def clean(*order: int) -> Tensor:
        """Two steps of these clips, one a slot."""
        places = list(order)
        names = ("condition", "keys", "values", "style")
        ours = Context(**{name: getattr(context, name)[places] for name in names})
        clip, x = fused.clip(ours, mask[places]), noisy[places]
        previous = torch.zeros_like(x)
        for row in ((0.9, 0.2, 0.0, 0.1), (0.8, 0.3, -0.1, 0.0)):
            one = fused.step(x, modulation, clip, guided)
            launch_step(x, one, previous, row, noisy[places] if row[3] else None, scale)
            previous = one
        return x

    expected = clean(0, 1, 2, 3)
    noisy[3].fill_(torch.nan)  # what is broken in one stays there
    for shift in range(1, slots):
        order = [(slot + shift) % slots for slot in range(slots)]
        rolled = clean(*order)
        for slot, clip in enumerate(order):
            assert torch.equal(rolled[slot], expected[clip]) == (clip != 3)
    for repeated in clean(2, 2, 2, 2):
        assert torch.equal(repeated, expected[2])


def test_the_model_it_is_made_from_stays_as_it_is():
    denoiser = random_denoiser()
    before = {name: x.clone() for name, x in denoiser.state_dict().items()}
    fused = FusedDenoiser(denoiser, torch.bfloat16)
    fused.branches(*inputs_of(denoiser, 20, 17))
    assert all(torch.equal(x, before[name]) for name, x in denoiser.state_dict().items())


def test_what_no_step_changes_is_made_once():
    denoiser = random_denoiser()
    noisy, modulation, context, mask = given = inputs_of(denoiser, 20, 17)
    fused = FusedDenoiser(denoiser, torch.float16)
    clip = fused.clip(context, mask)
    for guided, whole in ((False, fused.conditional), (True, fused.branches)):
        assert torch.equal(fused.step(noisy, modulation, clip, guided), whole(*given))


class _Operators(TorchDispatchMode):
    """Counts what PyTorch launches beside the kernels: for views and empty memory, nothing."""

    def __init__(self):
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        returned = func(*args, **(kwargs or {}))
        aliases = [a.alias_info for a in func._schema.arguments if a.alias_info is not None]
        is_view = any(not alias.is_write for alias in aliases)
        if not is_view and "empty" not in func.__name__:
            self.count[func.__name__] += 1
        return returned


@pytest.mark.parametrize("guided", [False, True])
def test_a_step_is_six_kernels_a_layer_and_two(guided: bool):
    """The budget: 38 for `base`, where the compiler has 82 and 87 (`test_kernel_budget.py`)."""
    denoiser = random_denoiser(layers=3)
    noisy, modulation, context, mask = inputs_of(denoiser, 20, 17)
    launched: Counter[str] = Counter()

    def counted(name, kernel):
        def launch(*arguments):
            launched[name] += 1
            with torch.utils._python_dispatch._disable_current_modes():
                return kernel(*arguments)

        return launch

    kernels = Kernels(**{name: counted(name, kernel) for name, kernel in vars(EAGER).items()})
    fused = FusedDenoiser(denoiser, torch.bfloat16, kernels)
    clip = fused.clip(context, mask)
    launched.clear()
    with _Operators() as operators:
        fused.step(noisy, modulation, clip, guided)
    each = dict.fromkeys(("queries", "relative", "subject", "feedforward"), 3)
    assert launched == {"tokens": 1, "attention": 6, **each}
    assert operators.count == {"addmm.out": 1}, "the last product, and no copy"


def test_which_denoisers_fit():
    for name in CONFIGS:
        denoiser = random_model(replace(CONFIGS[name], layers=1)).denoiser
        assert fits(denoiser, torch.bfloat16)
        assert not fits(denoiser, torch.float32), "its products are left to the library"
    for other in (small_config("self"), replace(small_config(), width=24, heads=2)):
        assert not fits(random_model(other).denoiser, torch.bfloat16)


@needs_kernels
def test_the_kernels_refuse_what_they_would_misread():
    denoiser = random_denoiser()
    noisy, modulation, context, mask = inputs_of(denoiser, 20, 17)
    fused = FusedDenoiser(denoiser, torch.float16, LAUNCHED)
    with pytest.raises(ValueError, match="noisy: not in one piece"):
        fused.conditional(noisy.mT.contiguous().mT, modulation, context, mask)
