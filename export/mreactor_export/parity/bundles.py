"""The proof of a bundle: one that is being written, or one on the disk, whoever exported it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mreactor_export.parity.candidates import open_candidates
from mreactor_export.parity.clips import example_clips
from mreactor_export.parity.figures import Figure, Report, verify_command
from mreactor_export.parity.proof import verify
from mreactor_ref.checkpoint import find_checkpoint, load_checkpoint
from mreactor_ref.errors import UsageError
from mreactor_ref.files import sha256_of
from mreactor_ref.model import MReactor
from mreactor_runtime.bundle import Bundle, BundleInfo
from mreactor_runtime.tensors import all_graphs


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
    network, info = load_reference(bundle, model), bundle.info
    names = [name for name in all_graphs(info.config) if f"{name}.onnx" in bundle.files]
    return prove_graphs(
        network,
        info,
        {name: bundle.graph(name) for name in names},
        command=verify_command(bundle.folder, model, thorough),
        thorough=thorough,
        report=report,
        threads=threads,
    )


def prove_graphs(
    network: MReactor,
    info: BundleInfo,
    files: Mapping[str, bytes],
    *,
    command: str,
    thorough: bool = False,
    report: Callable[[Figure], None] | None = None,
    threads: int | None = None,
) -> Report:
    """Every figure of the graphs of a bundle, which need not be written yet.

    Args:
        network: what they come from. files: graph name -> ONNX bytes.
        command: that takes the figures again. The others are `verify_bundle`'s.
    """
    opened = open_candidates(files, info.config, info.dtype, info.session, threads)
    clips, lack = example_clips(info.config, None if thorough else 1)
    return verify(
        network,
        opened.engines,
        dtype=info.dtype,
        clips=clips,
        files=files,
        report=report,
        thorough=thorough,
        notes=(*opened.notes, *([lack] if lack else [])),
        command=command,
    )


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
    if sha256_of(path) != bundle.info.checkpoint_sha256:
        raise UsageError(
            "is not the checkpoint that the bundle came from",
            path,
            "give the right one with --model",
        )
    return load_checkpoint(path)
