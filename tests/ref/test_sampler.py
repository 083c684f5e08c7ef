"""The reference loop, by known answers and against the schedulers of diffusers."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats

from mreactor_ref import schedule
from mreactor_ref.noise import INITIAL, reaction_noise
from mreactor_ref.sampler import sample, solver_step
from mreactor_ref.schedule import SCHEDULERS, SolverTable, alphas_cumprod, solver_table

SHAPE = (2, 3, 20, 5)  # (B, S, T, C)
SOLVERS = [(name, 0.0) for name in SCHEDULERS] + [("ddim", 0.5), ("ddim", 1.0)]
STEPS = (1, 2, 10, 20, 50, 1000)


def keyed_noise(step, shape=SHAPE):
    b, s, t, c = shape
    return torch.from_numpy(reaction_noise(0, [str(i) for i in range(b)], range(s), step, t, c))


# The loop.


@pytest.mark.parametrize(("scheduler", "eta"), SOLVERS)
@pytest.mark.parametrize("steps", [1, 2, 10, 50])
def test_a_fixed_clean_sample_is_where_every_solver_ends(scheduler, eta, steps):
    target = torch.linspace(-3, 3, 100).reshape(1, 1, 20, 5).expand(SHAPE)
    table = solver_table(scheduler, steps, eta=eta)
    assert torch.equal(
        sample(lambda x, i: target, keyed_noise(INITIAL), table, keyed_noise), target
    )


def test_the_loop_is_the_line_of_its_table():
    table = SolverTable("any", np.arange(3), np.arange(12.0).reshape(3, 4) / 8)
    seen = []

    def denoise(x, i):
        seen.append((i, x.clone()))
        return x**2 + i

    start = keyed_noise(INITIAL)
    end = sample(denoise, start, table, keyed_noise)
    assert torch.equal(start, keyed_noise(INITIAL))
    x, previous = start, torch.zeros(SHAPE)
    for i, (a, b, c, n) in enumerate(table.rows.tolist()):
        assert seen[i][0] == i
        torch.testing.assert_close(seen[i][1], x)
        clean = x**2 + i
        x, previous = a * x + b * clean + c * previous + n * keyed_noise(i), clean
    torch.testing.assert_close(end, x)
    assert end.dtype == torch.float32
    assert len(seen) == 3


def test_noise_is_drawn_only_where_it_is_used():
    for scheduler, expected in (("ddpm", list(range(9))), ("ddim", []), ("dpmsolver++", [])):
        drawn = []

        def noise(i, drawn=drawn):
            drawn.append(i)
            return keyed_noise(i)

        sample(lambda x, i: x, keyed_noise(INITIAL), solver_table(scheduler, 10), noise)
        assert drawn == expected


def test_a_table_that_adds_noise_needs_noise():
    start = keyed_noise(INITIAL)
    with pytest.raises(ValueError, match="scheduler ddpm adds noise, and none was given"):
        sample(lambda x, i: x, start, solver_table("ddpm", 2))
    sample(lambda x, i: x, start, solver_table("ddpm", 1))


def test_another_step_takes_the_place_of_the_reference():
    calls = []

    def twin(x, clean, previous, row, noise):
        calls.append((row, noise is None))
        return solver_step(x, clean, previous, row, noise)

    table = solver_table("ddim", 4, eta=1.0)
    ends = [
        sample(lambda x, i: x.sin(), keyed_noise(INITIAL), table, keyed_noise, step=step)
        for step in (twin, solver_step)
    ]
    assert torch.equal(*ends)
    # Rounded to float32 once, so that every twin starts from the same numbers.
    rounded = table.rows.astype(np.float32).tolist()
    assert calls == [(row, i == 3) for i, row in enumerate(rounded)]


def test_sampling_keeps_no_gradients():
    weight = torch.nn.Parameter(torch.ones(()))
    end = sample(lambda x, i: weight * x, keyed_noise(INITIAL), solver_table("ddim", 3))
    assert not end.requires_grad


def test_a_reaction_alone_is_the_reaction_of_the_batch():
    table = solver_table("ddpm", 10)
    whole = sample(lambda x, i: x.tanh(), keyed_noise(INITIAL), table, keyed_noise)
    alone = sample(
        lambda x, i: x.tanh(),
        keyed_noise(INITIAL)[1:, 2:],
        table,
        lambda i: torch.from_numpy(reaction_noise(0, ["1"], [2], i, 20, 5)),
    )
    assert torch.equal(alone, whole[1:, 2:])


# Against distributions that are known.

MEAN, DEVIATION = 0.7, 0.4


def gaussian_denoise(table):
    """The best clean sample there is, for data that is N(MEAN, DEVIATION^2) in each channel."""

    def denoise(x, i):
        alphas = alphas_cumprod()[table.timesteps[i]]
        variance = alphas * DEVIATION**2 + 1 - alphas
        gain = np.sqrt(alphas) * DEVIATION**2 / variance
        return MEAN + gain * (x - np.sqrt(alphas) * MEAN)

    return denoise


def ode_error(scheduler, steps):
    """Distance to the probability-flow ODE's end, which only moves and scales the noise."""
    table = solver_table(scheduler, steps)
    start = keyed_noise(INITIAL)
    alphas = alphas_cumprod()[-1]
    scale = np.sqrt(alphas * DEVIATION**2 + 1 - alphas)
    exact = MEAN + DEVIATION * (start - np.sqrt(alphas) * MEAN) / scale
    end = sample(gaussian_denoise(table), start, table)
    return float((end - exact).norm() / exact.norm())


@pytest.mark.parametrize(
    ("scheduler", "order"), [("ddim", 1), ("euler", 1), ("dpmsolver++1", 1), ("dpmsolver++", 2)]
)
def test_a_solver_converges_to_the_ode_at_its_order(scheduler, order):
    errors = [ode_error(scheduler, steps) for steps in (10, 20, 40)]
    for coarse, fine in pairwise(errors):
        assert coarse / fine > 0.9 * 2**order
    assert errors[-1] < {1: 0.03, 2: 0.001}[order]


@pytest.mark.parametrize(("scheduler", "eta"), [("ddpm", 0.0), ("ddim", 0.5)])
def test_a_solver_with_noise_ends_at_the_distribution(scheduler, eta):
    shape = (2, 5, 100, 20)  # 20,000 samples
    table = solver_table(scheduler, 250, eta=eta)
    end = sample(
        gaussian_denoise(table),
        keyed_noise(INITIAL, shape),
        table,
        lambda i: keyed_noise(i, shape),
    )
    assert abs(end.mean().item() - MEAN) < 4 * DEVIATION / np.sqrt(end.numel())
    assert end.std().item() == pytest.approx(DEVIATION, rel=0.03)


@pytest.mark.parametrize(("scheduler", "eta"), SOLVERS)
def test_two_kinds_of_reaction_come_out_as_often_as_they_went_in(scheduler, eta):
    """Data of two peaks, whose posterior mean is known: a nonlinear denoiser without weights."""
    means, shares, deviation = torch.tensor([-1.0, 0.6]), torch.tensor([0.3, 0.7]), 0.15
    shape, steps = (2, 5, 100, 10), 100
    table = solver_table(scheduler, steps, eta=eta)

    def denoise(x, i):
        alphas = alphas_cumprod()[table.timesteps[i]]
        variance = alphas * deviation**2 + 1 - alphas
        distance = x[..., None] - np.sqrt(alphas) * means
        weights = (shares.log() - distance**2 / (2 * variance)).softmax(-1)
        gain = np.sqrt(alphas) * deviation**2 / variance
        return (weights * (means + gain * distance)).sum(-1)

    end = sample(
        denoise, keyed_noise(INITIAL, shape), table, lambda i: keyed_noise(i, shape)
    ).numpy()

    def cumulative(x):
        return sum(
            share * stats.norm.cdf(x, mean, deviation)
            for share, mean in zip(shares.tolist(), means.tolist(), strict=True)
        )

    # 0.0163 is the 1% point of the statistic for 10,000 samples; the rest is for 100 steps.
    assert stats.kstest(end.ravel(), cumulative).statistic < 0.03


# Against diffusers.


def nonlinear_denoise(x, timestep):
    """Mixes frames and channels, and depends on the step."""
    mixed = (x + x.roll(1, dims=2)) / 2
    return torch.sin(2 * mixed + timestep / 1000) + 0.3 * x.mean(dim=-1, keepdim=True)


def diffusers_scheduler(name):
    import diffusers

    settings = dict(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="sample",
        timestep_spacing="trailing",
    )
    match name:
        case "ddpm":
            return diffusers.DDPMScheduler(
                clip_sample=False, variance_type="fixed_small", **settings
            )
        case "ddim":
            return diffusers.DDIMScheduler(clip_sample=False, **settings)
        case "euler":
            return diffusers.EulerDiscreteScheduler(final_sigmas_type="zero", **settings)
        case "dpmsolver++" | "dpmsolver++1":
            return diffusers.DPMSolverMultistepScheduler(
                solver_order=1 if name == "dpmsolver++1" else 2,
                algorithm_type="dpmsolver++",
                solver_type="midpoint",
                final_sigmas_type="zero",
                **settings,
            )


def diffusers_end(name, eta, steps):
    scheduler = diffusers_scheduler(name)
    scheduler.set_timesteps(steps)
    assert scheduler.timesteps.tolist() == solver_table(name, steps).timesteps.tolist()
    keywords = {}
    if name in ("ddpm", "ddim"):
        keywords["generator"] = torch.Generator().manual_seed(1)
    if name == "ddim":
        keywords["eta"] = eta
    x = keyed_noise(INITIAL)
    if name == "euler":  # its x is ours over the signal's share
        x = x * (1 + scheduler.sigmas[0] ** 2).sqrt()
    for timestep in scheduler.timesteps:
        clean = nonlinear_denoise(scheduler.scale_model_input(x, timestep), timestep.item())
        x = scheduler.step(clean, timestep, x, return_dict=False, **keywords)[0]
    return x


def our_end(name, eta, steps):
    table = solver_table(name, steps, eta=eta)
    generator = torch.Generator().manual_seed(1)
    return sample(
        lambda x, i: nonlinear_denoise(x, table.timesteps[i].item()),
        keyed_noise(INITIAL),
        table,
        lambda i: torch.randn(SHAPE, generator=generator),
    )


def relative_distance(ours, theirs):
    return float((ours - theirs).norm() / theirs.norm())


# DPMSolverMultistepScheduler makes an array of a tensor in the way of numpy 1.
of_diffusers = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


@of_diffusers
@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize(("name", "eta"), SOLVERS)
def test_the_end_is_that_of_diffusers(name, eta, steps):
    # Theirs loses digits: alphas in float32, 1 - alphas of them, and for Euler the difference of
    # numbers of 20,000.
    tolerance = 2e-3 if name == "euler" else 1e-4
    if steps <= 20 and not eta and name != "euler":
        tolerance = 2e-6
    assert relative_distance(our_end(name, eta, steps), diffusers_end(name, eta, steps)) < tolerance


@of_diffusers
@pytest.mark.parametrize("steps", [3, 7, 30])
@pytest.mark.parametrize("name", ["ddpm", "dpmsolver++", "dpmsolver++1"])
def test_the_end_is_that_of_diffusers_for_steps_that_do_not_divide(name, steps):
    assert relative_distance(our_end(name, 0.0, steps), diffusers_end(name, 0.0, steps)) < 2e-6


@of_diffusers
@pytest.mark.parametrize("steps", [50, 1000])
@pytest.mark.parametrize("name", ["ddim", "dpmsolver++", "dpmsolver++1"])
def test_what_is_left_is_the_rounding_of_their_alphas(name, steps, monkeypatch):
    theirs = diffusers_scheduler("ddpm").alphas_cumprod.double().numpy()
    monkeypatch.setattr(schedule, "alphas_cumprod", lambda train_steps: theirs)
    assert relative_distance(our_end(name, 0.0, steps), diffusers_end(name, 0.0, steps)) < 1e-5


@of_diffusers
@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpmsolver++", "euler"])
def test_the_timesteps_are_those_of_diffusers(name):
    scheduler = diffusers_scheduler(name)
    compared = 0
    for steps in range(1, 1001):
        scheduler.set_timesteps(steps)
        theirs = scheduler.timesteps.numpy()
        if len(theirs) > steps:  # their slip: one more, at -1
            assert theirs[-1] == -1
            continue
        # A half is rounded either way: their float steps reach it from above or from below.
        certain = 2000 * np.arange(steps, 0, -1) % (2 * steps) != steps
        assert np.array_equal(schedule.trailing_timesteps(steps)[certain], theirs[certain])
        compared += 1
    assert compared > 900
