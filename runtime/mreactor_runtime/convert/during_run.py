"""Converts results as a run makes them: `mreactor-infer --output-format`."""

from __future__ import annotations

from pathlib import Path

from mreactor_ref.signals import SpeakerClip
from mreactor_runtime.convert.convert import write_result
from mreactor_runtime.convert.options import Conversion
from mreactor_runtime.convert.result import Result
from mreactor_runtime.forms import all_suffixes
from mreactor_runtime.reactor import ClipReactions, Reactor
from mreactor_runtime.run.extras import Extra


def other_forms(formats: tuple[str, ...], reactor: Reactor) -> Extra:
    """Every reaction in these forms, beside its npz: what `mreactor-convert` makes of it.

    Raises:
        UsageError: an unknown format, or none.
    """
    conversion = Conversion(formats)

    def write(clip: SpeakerClip, reactions: ClipReactions, path: Path) -> None:
        arrays = reactions.attributes, reactions.coefficients
        result = Result(path, *arrays, reactions.provenance)
        write_result(result, path, conversion, overwrite=True)

    return Extra("other form", all_suffixes(formats, reactor.sampling.samples), write)
