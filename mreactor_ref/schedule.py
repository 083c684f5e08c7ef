"""The noise schedule, and every solver as a table of coefficients.

Symbols of the papers, and what they are called here:

    paper                                           here
    T                                               train_steps
    t, 0 (almost clean) to T - 1 (almost noise)     timestep
    alpha-bar_t                                     alphas_cumprod[t]
    sqrt(alpha-bar_t), sqrt(1 - alpha-bar_t)        signal[t], sigma[t]
    x_t, x_0                                        x, clean
    lambda_t = log(signal / sigma)                  half_log_snr
    h, the growth of lambda in one step             h
    A, A'  alpha-bar at a step, at the next one     now, after

The model predicts the clean sample (eq. 5), so every solver is one line,

    x <- a x + b clean + c clean_previous + n noise,

and only the numbers (a, b, c, n) of each step differ. Names, settings and timesteps are those of
`diffusers`: beta_schedule="squaredcos_cap_v2", prediction_type="sample", clip_sample=False,
timestep_spacing="trailing", variance_type="fixed_small", solver_type="midpoint",
final_sigmas_type="zero".

Sources: DDPM, Ho et al. 2020 (eq. 7); DDIM, Song et al. 2021 (eq. 12 and 16); cosine schedule,
Nichol and Dhariwal 2021 (eq. 17); DPM-Solver++, Lu et al. 2022 (algorithm 2); Euler in
sigma, Karras et al. 2022; trailing timesteps, Lin et al. 2023 (table 2).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.errors import UsageError

if TYPE_CHECKING:  # commands read SCHEDULERS for their --help, which must not wait for torch
    from torch import Tensor

TRAIN_STEPS = 1000
COSINE_OFFSET = 0.008  # keeps the first steps from having almost no noise
MAX_BETA = 0.999  # keeps the last step from erasing the sample altogether

SCHEDULERS = ("ddpm", "ddim", "dpmsolver++", "dpmsolver++1", "euler")
TRAILING, LOG_SNR = TIMESTEP_SPACINGS = ("trailing", "logsnr")


def alphas_cumprod(train_steps: int = TRAIN_STEPS) -> NDArray[np.float64]:
    """The share of the clean sample's variance left at each timestep, (train_steps,), falling.

    Raises UsageError when train_steps is less than 1.
    """
    if train_steps < 1:
        raise UsageError(f"train_steps is {train_steps}, not at least 1")
    time = np.arange(train_steps + 1) / train_steps
    curve = np.cos((time + COSINE_OFFSET) / (1 + COSINE_OFFSET) * np.pi / 2) ** 2
    return np.cumprod(np.maximum(curve[1:] / curve[:-1], 1 - MAX_BETA), dtype=np.float64)


def noise_scales(
    train_steps: int = TRAIN_STEPS,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(signal, sigma), each (train_steps,): a noisy sample is signal * clean + sigma * noise."""
    alphas = alphas_cumprod(train_steps)
    return np.sqrt(alphas), np.sqrt(1 - alphas)


def add_noise(
    clean: Tensor, noise: Tensor, timesteps: Tensor, train_steps: int = TRAIN_STEPS
) -> Tensor:
    """The noisy sample of training, by the same scales as the tables of sampling.

    Args:
        clean, noise: any shape, such as (B, T, C) or (B, S, T, C).
        timesteps: int64, the leading axes of `clean`: (B,) or (B, S).
    """
    signal, sigma = (
        clean.new_tensor(scale)[timesteps].reshape(
            *timesteps.shape, *[1] * (clean.ndim - timesteps.ndim)
        )
        for scale in noise_scales(train_steps)
    )
    return signal * clean + sigma * noise


@dataclass(frozen=True, eq=False)
class SolverTable:
    """A solver as rows of coefficients, one for each of its N steps.

    Attributes:
        scheduler: one of SCHEDULERS.
        timesteps: (N,) int64, falling: what the model is told at each step.
        rows: (N, 4) float64: the columns a, b, c, n of
            `x <- a x + b clean + c clean_previous + n noise`.
    """

    scheduler: str
    timesteps: NDArray[np.int64]
    rows: NDArray[np.float64]

    def __post_init__(self) -> None:
        # A table is shared by every clip of a run.
        self.timesteps.setflags(write=False)
        self.rows.setflags(write=False)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def noisy_steps(self) -> list[int]:
        """The steps that add noise, in order."""
        return np.flatnonzero(self.rows[:, 3]).tolist()


def _option(default: Any, allowed: tuple[Any, ...], text: str, *flags: str) -> Any:
    """A field of `Solver`: its default, the names or the range that is allowed, its help, and flags
    beside that of its name."""
    return field(default=default, metadata={"allowed": allowed, "help": text, "flags": flags})


@dataclass(frozen=True)
class Solver:
    """A solver and its options. The defaults were chosen by measurement: `docs/solvers.md`.

    A new option is added here alone, as a field and where `table` reads it. The options of commands
    (`sampling_options.solver_options`), the keys of `--compare`, run.json, bundle.json and the
    reports are made from the fields. `allowed` is what a command takes: names, or the least and
    the largest number.
    """

    scheduler: str = _option("dpmsolver++", SCHEDULERS, "The solver of the reverse diffusion.")
    steps: int = _option(10, (1, 1000), "Steps of the solver.", "--num-inference-steps")
    guidance_scale: float = _option(
        1.0,
        (0, 20),
        "0 ignores the speaker, 1 is no guidance, more follows the speaker more.",
    )
    timestep_spacing: str = _option(
        LOG_SNR, TIMESTEP_SPACINGS, "How the steps are spread over the noise schedule."
    )

    @property
    def guided(self) -> bool:
        """Whether a step has the unconditional branch, which a guidance of 1 does not need."""
        return self.guidance_scale != 1

    def table(self, train_steps: int = TRAIN_STEPS) -> SolverTable:
        """The table of this solver.

        Raises:
            UsageError: an option out of range.
        """
        return solver_table(
            self.scheduler, self.steps, train_steps, timestep_spacing=self.timestep_spacing
        )

    def changed(self, **changes: Any) -> Solver:
        """This solver with other options, by name; None leaves one as it is.

        Raises:
            TypeError: no option has this name.
        """
        values = {
            name: getattr(self, name, None) if value is None else value
            for name, value in changes.items()
        }
        return replace(self, **values)


def solver_table(
    scheduler: str,
    steps: int,
    train_steps: int = TRAIN_STEPS,
    eta: float = 0.0,
    timestep_spacing: str = TRAILING,
) -> SolverTable:
    """The table of a solver. Its last row is (0, 1, 0, 0): it ends at the clean sample.

    "dpmsolver++" is the second-order multistep solver (2M). "ddim" with eta 0, "dpmsolver++1" and
    "euler" are the same line when the clean sample is predicted, and so are "ddpm" and "ddim" with
    eta 1: the names are kept for those who know them.

    Args:
        steps: N, 1 to train_steps.
        eta: of "ddim" alone: 0 adds no noise, 1 as much as DDPM.
        timestep_spacing: one of SPACINGS.

    Raises:
        UsageError: an unknown scheduler or spacing, or steps or eta out of range.
    """
    if scheduler not in SCHEDULERS:
        raise UsageError(f"scheduler is {scheduler!r}, not one of {', '.join(SCHEDULERS)}")
    alphas = alphas_cumprod(train_steps)
    if not 1 <= steps <= train_steps:
        raise UsageError(f"steps is {steps}, not 1 to {train_steps}")
    if not 0 <= eta <= 1:
        raise UsageError(f"eta is {eta}, not 0 to 1")
    if eta and scheduler != "ddim":
        raise UsageError(f"eta is {eta}, and scheduler {scheduler} has none", fix="use ddim")

    if timestep_spacing not in SPACINGS:
        raise UsageError(
            f"timestep spacing is {timestep_spacing!r}, not one of {', '.join(SPACINGS)}"
        )
    timesteps = SPACINGS[timestep_spacing](steps, train_steps)
    now = alphas[timesteps]
    rows = _first_order(now, np.append(now[1:], 1.0), eta=1.0 if scheduler == "ddpm" else eta)
    if scheduler == "dpmsolver++":
        rows = _second_order(rows, now)
    return SolverTable(scheduler, timesteps, rows)


def trailing_timesteps(steps: int, train_steps: int = TRAIN_STEPS) -> NDArray[np.int64]:
    """The timesteps of N steps, (steps,) int64: falling evenly from train_steps - 1.

    Trailing, and not the leading or linspace spacing of `diffusers`: sampling starts from pure
    noise, so the first timestep must be the one that is pure noise in training, for 1 step too
    (leading starts one step at timestep 0); and the schedulers of `diffusers` agree with each
    other on this spacing alone.

    Where `diffusers` slips, this does not: it makes N + 1 timesteps, the last of them -1, for some
    N (61, 103, ...), and its DDIM steps to a timestep that is not the next one where N does not
    divide train_steps.
    """
    return np.round(train_steps * np.arange(steps, 0, -1) / steps).astype(np.int64) - 1


def logsnr_timesteps(steps: int, train_steps: int = TRAIN_STEPS) -> NDArray[np.int64]:
    """The timesteps of N steps, (steps,) int64: falling evenly in the log of signal over noise.

    From train_steps - 1 to half of the last step of trailing spacing. A reaction is hundreds of
    frames of 83 channels that say much the same, so what kind of reaction it is, is settled while
    one frame is still nearly pure noise: within the first hundredth of the timesteps, over which
    trailing spacing steps at once. The first timesteps would be equal after rounding: they are kept
    one apart. Uniform log-SNR is the spacing of DPM-Solver (`use_lu_lambdas` in diffusers).
    """
    alphas = alphas_cumprod(train_steps)
    log_snr = np.log(alphas / (1 - alphas))
    last = train_steps // (2 * steps) if steps > 1 else train_steps - 1
    wanted = np.linspace(log_snr[-1], log_snr[last], steps)
    timesteps = np.abs(log_snr[None] - wanted[:, None]).argmin(axis=1)
    for i in range(1, steps):
        timesteps[i] = min(timesteps[i], timesteps[i - 1] - 1)
    return np.maximum(timesteps, np.arange(steps - 1, -1, -1)).astype(np.int64)


SPACINGS = {TRAILING: trailing_timesteps, LOG_SNR: logsnr_timesteps}


def _first_order(
    now: NDArray[np.float64], after: NDArray[np.float64], eta: float
) -> NDArray[np.float64]:
    """Rows (N, 4) of DDIM (its eq. 12): keep the noise in x, but for a share drawn anew."""
    fresh = eta**2 * (1 - after) / (1 - now) * (1 - now / after)
    a = np.sqrt((1 - after - fresh) / (1 - now))
    b = np.sqrt(after) - a * np.sqrt(now)
    return np.stack([a, b, np.zeros_like(a), np.sqrt(fresh)], axis=1)


def _second_order(rows: NDArray[np.float64], now: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows (N, 4) of DPM-Solver++ 2M: b is split so that it extrapolates from the last clean.

    The first row has no last clean, and the last one no finite h: both stay of first order.
    """
    half_log_snr = 0.5 * np.log(now / (1 - now))
    h = np.diff(half_log_snr)
    weight = h[1:] / (2 * h[:-1])  # 1 / (2 r) of the paper
    rows = rows.copy()
    rows[1:-1, 2] = -weight * rows[1:-1, 1]
    rows[1:-1, 1] *= 1 + weight
    return rows
