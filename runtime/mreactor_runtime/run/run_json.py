"""The record of a run in `run.json`, and whether another run would make the same bytes."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mreactor_ref.data.inputs import Inputs, listed
from mreactor_ref.emotion.options import RecoveryOptions
from mreactor_ref.files import sha256_of, shown_hash
from mreactor_runtime.bundle import versions
from mreactor_runtime.engines.names import ONNX, OPENVINO, TENSORRT, TENSORRT_RTX, TORCH
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.run.options import Options
from mreactor_runtime.run.outputs import read_json
from mreactor_runtime.sampling_options import Sampling, flat

PACKAGES = (
    *("mreactor", "numpy", "torch", "transformers", "sentence-transformers", "vaderSentiment"),
)
# Those of other engines have no part in a run. A torch for CUDA has a Triton of its own version.
ENGINE_PACKAGES = {
    TORCH: (),
    ONNX: ("onnxruntime", "onnxruntime-gpu"),
    OPENVINO: ("openvino",),
    TENSORRT: ("tensorrt",),
    TENSORRT_RTX: ("tensorrt-rtx",),
}
# Arguments that do not change the results.
UNDECISIVE = ("input", "max_errors", "debug", "batch_size", "resume", "overlap", "shard")
MOST_NAMED = 3  # differences in one line

Record = dict[str, Any]


def describe(input: Inputs, reactor: Reactor, sampling: Sampling, options: Options) -> Record:
    """The record of a run before it starts."""
    model, engine = reactor.model, reactor.engine
    shard = None if options.shard is None else str(options.shard)
    packages = (*PACKAGES, *ENGINE_PACKAGES.get(engine.name, ()))
    of_run = {name: value for name, value in asdict(options).items() if name != "sampling"}
    return {
        "ai_generated": True,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            **versions(*packages),
        },
        "device": {"type": engine.device.type, "name": reactor.device_name},
        "engine": engine.name,
        "dtype": model.dtype,
        "model": {"name": model.name, "sha256": model.sha256, "graphs": model.graphs_sha256},
        "priors": {"source": type(reactor.source).__name__, **_own_files(options.recovery)},
        "arguments": {
            "input": ", ".join(str(path) for path in listed(input)),
            **flat(sampling),
            **of_run,
            "shard": shard,
        },
    }


def fingerprint(record: Record) -> str:
    """A short hash of what decides the bytes of a run's results: two runs with the same one, over
    the same clips, make the same."""
    decides = sorted((name, repr(value)) for name, value in _deciding(record))
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:16]


def is_finished(path: Path, run: str, clips: int) -> bool:
    """Whether a run file is of a run with this fingerprint that went over so many clips to its end,
    with none failed."""
    record = read_json(path) or {}
    told = [record.get(name) for name in ("run", "finished", "clips", "failed", "stopped")]
    return told == [run, True, clips, 0, False]


def difference(old: Record, new: Record) -> str | None:
    """How a run differs from an older one in what decides the bytes; None where it does not."""
    try:
        was = dict(_deciding(old))
    except (TypeError, KeyError, AttributeError):  # of another version, or not ours
        return "it is not known how"
    now = dict(_deciding(json.loads(json.dumps(new))))
    changes = [
        f"{name} was {_shown(was.get(name))}, now {_shown(now.get(name))}"
        for name in sorted({*was, *now})
        if was.get(name) != now.get(name)
    ]
    more = f" and {len(changes) - MOST_NAMED} more" if len(changes) > MOST_NAMED else ""
    return "; ".join(changes[:MOST_NAMED]) + more if changes else None


def _shown(value: Any) -> str:
    """A hash is shown by its first digits."""
    text = str(value)
    return shown_hash(text) if re.fullmatch(r"[0-9a-f]{64}", text) else text


def _deciding(record: Record) -> Iterator[tuple[str, Any]]:
    """The parts of a record that decide the bytes, flat, by names that people know."""
    arguments = {k: v for k, v in record["arguments"].items() if k not in UNDECISIVE}
    yield from _flat(json.loads(json.dumps(arguments)), "")
    yield from _flat(record["versions"], "version of ")
    yield from _flat(record["priors"], "priors ")
    yield from _flat(record["device"], "device ")
    yield "engine", record["engine"]
    yield "dtype", record["dtype"]
    yield "model", record["model"]["sha256"]
    yield "graphs", record["model"]["graphs"]


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", value


def _own_files(recovery: RecoveryOptions | None) -> dict[str, str]:
    """The SHA-256 of each of the user's own files that priors come from."""
    if recovery is None:
        return {}
    lexicons = [option.partition("=")[2] for option in recovery.lexicon]
    paths = [Path(name).expanduser() for name in (recovery.subject_source, *lexicons) if name]
    return {path.name: sha256_of(path) for path in paths if path.is_file()}
