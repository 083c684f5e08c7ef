"""The options of a request, in its address: how many reactions, of which seed, in which form."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict, Field

from mreactor_ref.errors import UsageError
from mreactor_ref.schedule import SCHEDULERS
from mreactor_runtime.convert.options import Conversion
from mreactor_runtime.forms import RESULT, SUFFIXES
from mreactor_runtime.sampling_options import Sampling, changed
from mreactor_runtime.serve.limits import Limits
from mreactor_runtime.serve.problems import REQUEST, refused

NPZ = RESULT.removeprefix(".")
LONGEST_ID = 200  # letters
LARGEST_SEED = 2**63 - 1


class Options(BaseModel):
    """The options of a request; what is left out is the service's own."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = Field(
        None,
        description="Name of the clip. With the seed it fixes the reactions: give it the clip's "
        "path below the input without suffix, and they are those of `mreactor-infer`. Else the "
        "name of the first file without its suffix.",
        examples=["good_news"],
    )
    format: str = Field(
        NPZ,
        description=f"{NPZ}, or one or several of {', '.join(SUFFIXES)}, with commas between them. "
        "Several files come as a zip.",
    )
    samples: int | None = Field(None, ge=1, description="Reactions to the clip.")
    seed: int | None = Field(None, ge=-LARGEST_SEED, le=LARGEST_SEED)
    steps: int | None = Field(None, ge=1, description="Steps of the solver.")
    scheduler: str | None = Field(None, description=f"One of {', '.join(SCHEDULERS)}.")
    guidance_scale: float | None = Field(None, ge=0, le=20, allow_inf_nan=False)
    smoothness: float | None = Field(None, ge=-3, le=3, allow_inf_nan=False)
    reaction: int | None = Field(
        None, ge=0, description="The one that is converted, from 0; all where left out."
    )
    fps: float | None = Field(None, description="Frames a second of what is converted.")
    smooth: float = Field(0.0, description="Seconds of a Gaussian over what is converted.")
    wait: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="Seconds to wait for the reactions before the answer is a job; 0 gives a job "
        "at once.",
    )


@dataclass(frozen=True)
class Asked:
    """What a request asks for, checked.

    Attributes:
        clip_id: with the seed it fixes the reactions.
        conversion: the other forms; None for the npz alone. npz: whether it is sent, too.
        wait: seconds.
    """

    clip_id: str
    sampling: Sampling
    conversion: Conversion | None
    npz: bool
    wait: float


def understand(options: Options, clip_id: str, sampling: Sampling, limits: Limits) -> Asked:
    """Check the options of a request.

    Args:
        clip_id: where the request names none. sampling: of the service.

    Raises:
        Refused: one is out of range, or there is no such form.
    """
    clip_id = clip_id if options.id is None else options.id
    check_id(clip_id)
    try:
        sampling = changed(
            sampling,
            samples=options.samples,
            seed=options.seed,
            smoothness=options.smoothness,
            steps=options.steps,
            scheduler=options.scheduler,
            guidance_scale=options.guidance_scale,
        )
        sampling.solver.table()
        names = [name.strip() for name in options.format.split(",") if name.strip()]
        others = tuple(dict.fromkeys(name for name in names if name != NPZ))
        values = options.reaction, options.fps, None, options.smooth
        conversion = Conversion(others, *values) if others or not names else None
    except UsageError as error:
        raise refused(HTTPStatus.UNPROCESSABLE_ENTITY, REQUEST, error.problem, error.fix) from None
    for name, value, most in (
        ("samples", sampling.samples, limits.samples),
        ("steps", sampling.solver.steps, limits.steps),
        ("reaction", options.reaction or 0, sampling.samples - 1),
    ):
        if value > most:
            text = f"{name} is {value}, more than {most}"
            raise refused(HTTPStatus.UNPROCESSABLE_ENTITY, REQUEST, text)
    wait = limits.wait_seconds if options.wait is None else min(options.wait, limits.wait_seconds)
    return Asked(clip_id, sampling, conversion, NPZ in names, wait)


def check_id(clip_id: str) -> None:
    """Raises Refused for a name that no clip can have."""
    place = PurePosixPath(clip_id)
    problem = None
    if not place.name or len(clip_id) > LONGEST_ID or not clip_id.isprintable():
        problem = f"has no letters, more than {LONGEST_ID}, or some that cannot be printed"
    elif place.is_absolute() or ".." in place.parts or set(clip_id) & set('\\:*?"<>|'):
        problem = "is no path below a folder"
    if problem:
        text = f"the name of the clip {problem}"
        raise refused(HTTPStatus.UNPROCESSABLE_ENTITY, REQUEST, text, "give another id")
