"""The noise schedule and the tables, against closed forms; test_sampler runs them."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from mreactor_ref.errors import UsageError
from mreactor_ref.schedule import (
    SCHEDULERS,
    TRAIN_STEPS,
    add_noise,
    alphas_cumprod,
    logsnr_timesteps,
    noise_scales,
    solver_table,
    trailing_timesteps,
)

STEPS = (1, 2, 3, 7, 20, 50, 999, 1000)
ETAS = (0.0, 0.5, 1.0)


def now_and_after(table):
    now = alphas_cumprod()[table.timesteps]
    return now, np.append(now[1:], 1.0)


def test_cosine_schedule_telescopes_up_to_its_cap():
    alphas = alphas_cumprod(TRAIN_STEPS)
    time = np.arange(TRAIN_STEPS + 1) / TRAIN_STEPS
    curve = np.cos((time + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(alphas[:-1], curve[1:-1] / curve[0], rtol=1e-10)
    np.testing.assert_allclose(alphas[-1], alphas[-2] * 0.001, rtol=1e-12)  # not 0: beta <= 0.999
    assert (np.diff(alphas) < 0).all()


def test_schedule_is_that_of_diffusers():
    from diffusers import DDPMScheduler

    theirs = DDPMScheduler(TRAIN_STEPS, beta_schedule="squaredcos_cap_v2")
    # Theirs is a float32 product of float32 betas.
    np.testing.assert_allclose(
        alphas_cumprod(), theirs.alphas_cumprod.numpy(), rtol=2e-5, atol=4e-7
    )
    clean, noise = torch.randn(2, 4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    timesteps = torch.tensor([0, 10, 500, 999])
    ours = add_noise(clean, noise, timesteps)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs.add_noise(clean, noise, timesteps), rtol=0, atol=1e-5)


def test_noise_keeps_the_variance_and_takes_a_timestep_for_each_reaction():
    signal, sigma = noise_scales()
    np.testing.assert_allclose(signal**2 + sigma**2, 1, rtol=1e-15)
    timesteps = torch.tensor([[3, 600, 999], [0, 1, 2]])  # (B, S)
    clean = torch.ones(2, 3, 4, 5, dtype=torch.float64)
    noisy = add_noise(clean, 2 * clean, timesteps)
    expected = torch.from_numpy(signal + 2 * sigma)[timesteps]
    assert torch.equal(noisy, expected[..., None, None].expand(2, 3, 4, 5))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("steps", STEPS)
def test_every_table_ends_exactly_at_the_clean_sample(scheduler, steps):
    table = solver_table(scheduler, steps)
    assert len(table) == steps
    assert table.rows.shape == (steps, 4)
    assert table.rows.dtype == np.float64
    assert np.isfinite(table.rows).all()
    assert table.rows[-1].tolist() == [0, 1, 0, 0]
    assert table.rows[0, 2] == 0  # at the first step there is no previous clean sample


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize(("scheduler", "eta"), [("ddpm", 0.0), *(("ddim", eta) for eta in ETAS)])
def test_a_step_of_first_order_keeps_the_forward_process(scheduler, eta, steps):
    """With the true clean sample, what was x at this noise level is x at the next one."""
    table = solver_table(scheduler, steps, eta=eta)
    a, b, c, n = table.rows.T
    now, after = now_and_after(table)
    np.testing.assert_allclose(a * np.sqrt(now) + b, np.sqrt(after), rtol=1e-12)
    np.testing.assert_allclose(a**2 * (1 - now) + n**2, 1 - after, atol=1e-14)
    assert not c.any()


@pytest.mark.parametrize("steps", STEPS)
def test_ddpm_is_the_posterior_of_the_forward_process(steps):
    """Bayes: x at the next level, given x and the clean sample, by products of precisions."""
    table = solver_table("ddpm", steps)
    a, b, _, n = (column[:-1] for column in table.rows.T)
    now, after = (alphas[:-1] for alphas in now_and_after(table))
    kept = now / after  # x = sqrt(kept) x' + sqrt(1 - kept) noise
    precision = kept / (1 - kept) + 1 / (1 - after)
    np.testing.assert_allclose(n**2, 1 / precision, rtol=1e-9)
    np.testing.assert_allclose(a, np.sqrt(kept) / (1 - kept) / precision, rtol=1e-6)
    np.testing.assert_allclose(b, np.sqrt(after) / (1 - after) / precision, rtol=1e-9)


def test_eta_goes_from_no_noise_to_ddpm():
    quiet, half, full = (solver_table("ddim", 20, eta=eta).rows for eta in ETAS)
    assert not quiet[:, 3].any()
    np.testing.assert_allclose(half[:, 3], full[:, 3] / 2, rtol=1e-14)
    assert np.array_equal(full, solver_table("ddpm", 20).rows)


@pytest.mark.parametrize("steps", STEPS)
def test_euler_is_euler_in_sigma(steps):
    """z = x / signal; z' = z + (z - clean) / s (s' - s), s the deviation of the noise in z."""
    table = solver_table("euler", steps)
    now, after = now_and_after(table)
    s, s_after = (np.sqrt((1 - alphas) / alphas) for alphas in (now, after))
    np.testing.assert_allclose(
        table.rows[:, 0], np.sqrt(after / now) * s_after / s, rtol=1e-10, atol=0
    )
    np.testing.assert_allclose(table.rows[:, 1], np.sqrt(after) * (1 - s_after / s), rtol=1e-9)
    assert not table.rows[:, 2:].any()


@pytest.mark.parametrize("steps", STEPS)
def test_dpmsolver_first_order_is_its_exponential_integrator(steps):
    """x' = (sigma' / sigma) x - signal' expm1(-h) clean."""
    table = solver_table("dpmsolver++1", steps)
    now, after = (alphas[:-1] for alphas in now_and_after(table))
    h = np.arctanh(2 * after - 1) - np.arctanh(2 * now - 1)  # log(signal / sigma)
    a, b = table.rows[:-1, 0], table.rows[:-1, 1]
    np.testing.assert_allclose(a, np.sqrt((1 - after) / (1 - now)), rtol=1e-12)
    np.testing.assert_allclose(b, -np.sqrt(after) * np.expm1(-h), rtol=1e-7)


@pytest.mark.parametrize("steps", STEPS)
def test_dpmsolver_second_order_extrapolates_a_line_in_half_log_snr(steps):
    """2M is first order with the clean sample of the step's middle, on the line of the last two."""
    first, second = (solver_table(name, steps) for name in ("dpmsolver++1", "dpmsolver++"))
    now, _ = now_and_after(first)
    half_log_snr = 0.5 * np.log(now / (1 - now))
    expected = first.rows.copy()
    for i in range(1, steps - 1):
        previous, here, after = half_log_snr[i - 1 : i + 2]
        slope = ((here + after) / 2 - here) / (here - previous)
        expected[i, 1:3] = first.rows[i, 1] * np.array([1 + slope, -slope])
    np.testing.assert_allclose(second.rows, expected, rtol=1e-11)
    assert np.array_equal(first.timesteps, second.timesteps)


def test_timesteps_fall_from_pure_noise_without_a_repeat():
    for steps in range(1, TRAIN_STEPS + 1):
        timesteps = trailing_timesteps(steps)
        assert timesteps.dtype == np.int64
        assert timesteps[0] == TRAIN_STEPS - 1
        assert len(timesteps) == steps
        assert timesteps[-1] >= 0
        assert (np.diff(timesteps) < 0).all()
    assert timesteps.tolist() == list(range(TRAIN_STEPS - 1, -1, -1))
    assert trailing_timesteps(4, 10).tolist() == [9, 7, 4, 1]


def test_a_table_of_a_short_schedule():
    table = solver_table("dpmsolver++", 10, train_steps=10)
    assert table.timesteps.tolist() == list(range(9, -1, -1))
    assert solver_table("ddpm", 1, train_steps=1).rows.tolist() == [[0, 1, 0, 0]]


def test_a_table_cannot_be_changed():
    table = solver_table("ddim", 5)
    for array in (table.rows, table.timesteps):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(scheduler="ddim", steps=0), "steps is 0, not 1 to 1000"),
        (dict(scheduler="ddim", steps=1001), "steps is 1001, not 1 to 1000"),
        (dict(scheduler="ddim", steps=11, train_steps=10), "steps is 11, not 1 to 10"),
        (dict(scheduler="ddim", steps=1, train_steps=0), "train_steps is 0, not at least 1"),
        (dict(scheduler="plms", steps=10), "scheduler is 'plms', not one of ddpm, ddim, dpmsolv"),
        (dict(scheduler="ddim", steps=10, eta=1.5), "eta is 1.5, not 0 to 1"),
        (dict(scheduler="ddim", steps=10, eta=-0.1), "eta is -0.1, not 0 to 1"),
        (dict(scheduler="ddim", steps=10, eta=float("nan")), "eta is nan, not 0 to 1"),
        (dict(scheduler="ddpm", steps=10, eta=0.5), "eta is 0.5, and scheduler ddpm has none"),
        (dict(scheduler="euler", steps=10, eta=1.0), "eta is 1.0, and scheduler euler has none"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(UsageError) as error:
        solver_table(**arguments)
    assert str(error.value).startswith(message)


def test_the_names_of_the_schedulers_do_not_wait_for_torch():
    code = "import sys, mreactor_ref.schedule; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("steps", [1, 2, 10, 20, 50, 1000])
def test_logsnr_timesteps_fall_and_are_even_where_rounding_lets_them(steps: int):
    timesteps = logsnr_timesteps(steps)
    assert len(timesteps) == steps
    assert timesteps[0] == 999
    assert timesteps[-1] >= 0
    assert (np.diff(timesteps) < 0).all()
    if steps == 20:
        alphas = alphas_cumprod()[timesteps]
        log_snr = np.log(alphas / (1 - alphas))
        even = np.diff(log_snr)[8:]  # the first timesteps are one apart
        assert even.std() < 0.1 * even.mean()
        assert (timesteps >= 990).sum() >= 5


def test_an_unknown_spacing_is_refused():
    with pytest.raises(UsageError, match="timestep spacing is 'even'"):
        solver_table("ddim", 5, timestep_spacing="even")
