"""The proof of a bundle on the disk, whoever exported it: `mreactor-export --verify BUNDLE`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mreactor_export.parity.candidates import open_candidates
from mreactor_export.parity.clips import example_clips
from mreactor_export.parity.figures import Figure, ParityError, Report
from mreactor_export.parity.proof import verify
from mreactor_ref.checkpoint import checkpoint_hash, find_checkpoint, load_checkpoint
from mreactor_ref.errors import UsageError
from mreactor_ref.model import MReactor
from mreactor_runtime.bundle import Bundle
from mreactor_runtime.tensors import graphs


def verify_bundle(
    bundle: Bundle,
    model: str | Path | None = None,
    *,
    thorough: bool = True,
    report: Callable[[Figure], None] | None = None,
    threads: int | None = None,
) -> Report:
    """Every figure of a bundle's graphs against the checkpoint that they came from.

    Args:
        model: the checkpoint, by path or shipped name; None is what the bundle says it came from.
        thorough, report: as `verify` takes them. threads: of each engine.
    Raises:
        UsageError: the checkpoint is not here, or not the bundle's.
        IntegrityError: a damaged file. ParityError: as `verify` does; its report has the command.
    """
    network = load_reference(bundle, model)
    config = bundle.info.config
    files = {name: bundle.graph(name) for name in graphs(config)}
    opened = open_candidates(files, config, bundle.info.dtype, bundle.info.session, threads)
    clips, lack = example_clips(config, None if thorough else 1)
    command = f"mreactor-export --verify {bundle.folder}"
    if model is not None:
        command += f" --model {model}"
    if thorough:
        command += " --thorough"
    try:
        proof = verify(
            network,
            opened.engines,
            dtype=bundle.info.dtype,
            clips=clips,
            files=files,
            report=report,
            thorough=thorough,
            notes=(*opened.notes, *([lack] if lack else [])),
        )
    except ParityError as error:
        if error.report is not None:
            error.report = replace(error.report, command=command)
        raise
    return replace(proof, command=command)


def load_reference(bundle: Bundle, model: str | Path | None = None) -> MReactor:
    """The checkpoint that a bundle was exported from.

    Raises: UsageError: it is not here, or another one is.
    """
    name = bundle.info.model_name if model is None else model
    try:
        path = find_checkpoint(name)
    except UsageError:
        if model is not None:
            raise
        raise UsageError(
            f"its checkpoint {name} is not here, and parity is measured against it",
            bundle.folder,
            "give it with --model",
        ) from None
    if checkpoint_hash(path) != bundle.info.checkpoint_sha256:
        raise UsageError(
            "is not the checkpoint that the bundle came from",
            path,
            "give the right one with --model",
        )
    return load_checkpoint(path)
