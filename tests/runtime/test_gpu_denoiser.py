"""The denoiser for a GPU against the reference's: on a GPU, or with the attention's eager twin."""

from __future__ import annotations

import warnings
from functools import partial

import pytest
import torch
from fakes.models import random_model, small_config
from fakes.triton_modes import DEVICE
from torch import Tensor

from mreactor_ref.config import ATTENTIONS, Attention
from mreactor_ref.denoiser import Context, Denoiser, guide
from mreactor_runtime.kernels import compiling
from mreactor_runtime.kernels.gpu_denoiser import GpuDenoiser

pytestmark = pytest.mark.gpu  # on a GPU where there is one

FRAMES, REAL = 20, 17
MODELS = 4
# Relative L2 of a step, mean of MODELS random models.
# bf16 keeps 8 bits; what lies between the products is in float32.
BOUNDS = {torch.float32: 1e-6, torch.float16: 5e-4, torch.bfloat16: 4e-3}


def step_inputs(denoiser: Denoiser, reactions: int = 3, frames: int = FRAMES, seed: int = 0):
    """Noisy reactions, modulation, context and mask, of one clip."""
    generator = torch.Generator().manual_seed(seed)
    width, layers = denoiser.norm.normalized_shape[0], len(denoiser.layers)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(DEVICE)

    context = Context(
        condition=normal(1, frames, width),
        keys=normal(1, layers, frames, width),
        values=normal(1, reactions, layers, frames, width),
        style=normal(1, reactions, width),
    )
    noisy, modulation = normal(1, reactions, frames, 83), normal(denoiser.step.modulations, width)
    mask = torch.arange(frames, device=DEVICE)[None] < frames - (FRAMES - REAL)
    return noisy, modulation, context, mask


def random_denoiser(kind: Attention = "relative+subject", layers: int = 2, seed: int = 0):
    return random_model(small_config(kind, layers), seed).denoiser.to(DEVICE)


def error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("kind", ATTENTIONS)
def test_each_branch_is_the_references(kind, dtype):
    errors = []
    for seed in range(MODELS):
        denoiser = random_denoiser(kind, seed=seed)
        noisy, modulation, context, mask = given = step_inputs(denoiser, seed=seed)
        gpu = GpuDenoiser(denoiser, dtype, compiled=False)
        conditional, both = gpu.conditional(*given), gpu.branches(*given)
        assert conditional.dtype == both.dtype == torch.float32
        expected = denoiser.conditional(*given)
        without = denoiser.unconditional(noisy, modulation, context.style, mask)
        pairs = (conditional, expected), (both[:, :3], expected), (both[:, 3:], without)
        errors.append([error(*pair) for pair in pairs])
    assert (torch.tensor(errors).mean(dim=0) < BOUNDS[dtype]).all()


def test_guided_branches_are_the_references_step():
    denoiser = random_denoiser()
    given = step_inputs(denoiser)
    made = GpuDenoiser(denoiser, torch.float32, compiled=False)
    c, u = made.branches(*given).chunk(2, dim=1)
    scale = torch.tensor(7.5, device=DEVICE)
    assert error(guide(u, c, scale), denoiser.denoise(*given, scale)) < 1e-6


def test_the_model_it_is_made_from_stays_as_it_is():
    denoiser = random_denoiser()
    before = {name: x.clone() for name, x in denoiser.state_dict().items()}
    GpuDenoiser(denoiser, torch.bfloat16, compiled=False)
    after = denoiser.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(x, after[name]) for name, x in before.items())


def test_products_are_in_the_half_type_and_the_rest_is_not():
    denoiser = random_denoiser()
    made = GpuDenoiser(denoiser, torch.bfloat16, compiled=False)._denoiser
    halves = {name for name, x in made.named_parameters() if x.dtype == torch.bfloat16}
    assert {name.split(".")[0] for name in halves} == {"layers"}
    assert all(x.dtype == torch.float32 for name, x in made.named_buffers() if "rates" in name)
    assert made.embed.weight.dtype == made.out.weight.dtype == torch.float32


def test_keys_and_values_may_come_in_the_half_type():
    """So that an engine can round them once a clip, and not at every step."""
    denoiser = random_denoiser()
    noisy, modulation, context, mask = step_inputs(denoiser)
    made = GpuDenoiser(denoiser, torch.bfloat16, compiled=False)
    keys, values = context.keys.bfloat16(), context.values.bfloat16()
    rounded = Context(context.condition, keys, values, context.style)
    expected = made.conditional(noisy, modulation, context, mask)
    assert torch.equal(made.conditional(noisy, modulation, rounded, mask), expected)


def test_it_is_compiled_whole_and_once_for_all_sizes(monkeypatch):
    """By the compiler's first half; the second writes the kernels, and takes minutes."""
    compilations = []

    def backend(graph, inputs, options):
        compilations.append(options)
        return graph.forward

    compiler = partial(torch.compile, backend=backend)
    monkeypatch.setattr(compiling.torch, "compile", compiler)
    denoiser = random_denoiser(layers=1)
    made = GpuDenoiser(denoiser, torch.bfloat16)
    plain = GpuDenoiser(denoiser, torch.bfloat16, compiled=False)
    with torch.inference_mode():
        # 11 is the number of modulations, and 16 the width: equal sizes, that stay apart.
        for reactions, frames in ((3, 11), (2, 16), (10, 33)):
            given = step_inputs(denoiser, reactions, frames)
            assert error(made.branches(*given), plain.branches(*given)) < 1e-6
    assert compilations == [{"deterministic": True}]


def test_the_compiler_knows_the_options():
    """It refuses a name that it does not have when it is given, before it compiles."""
    torch.compile(torch.sin, options=compiling.OPTIONS)


@pytest.mark.parametrize(
    ("message", "category"),
    [
        ("TensorFloat32 tensor cores for float32 matrix multiplication available", UserWarning),
        ("`torch.jit.script_method` is deprecated", DeprecationWarning),
    ],
)
def test_what_compiling_advises_is_not_heard(monkeypatch, message, category):
    def first_call(x: Tensor) -> Tensor:
        warnings.warn(message, category, stacklevel=1)
        return x

    monkeypatch.setattr(compiling.torch, "compile", lambda function, **_: function)
    x = torch.ones(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiling.compiled(first_call)(x) is x


def test_other_warnings_of_compiling_are_heard(monkeypatch):
    def first_call(x: Tensor) -> Tensor:
        warnings.warn("something else", UserWarning, stacklevel=1)
        return x

    monkeypatch.setattr(compiling.torch, "compile", lambda function, **_: function)
    with pytest.warns(UserWarning, match="something else"):
        compiling.compiled(first_call)(torch.ones(2))
