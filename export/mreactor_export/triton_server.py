"""A bundle as a model repository for Triton Inference Server: a folder and a config.pbtxt a graph.

The configuration is written by hand, field by field, after the schema that Triton publishes
(model_config.proto of triton-inference-server/common); the tests parse it with that schema.
Beside the graphs stands `mreactor_reactions`, a model of the Python backend that runs the loop over
them (Triton's Business Logic Scripting): one request gives all reactions to a clip. A client that
wants another solver runs the loop itself: it encodes a clip, modulates the solver's timesteps once,
and calls the denoiser, or the conditional one, once a step, as `mreactor_runtime.reactor` does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import mreactor_ref
from mreactor_ref.errors import UsageError
from mreactor_ref.signals import (
    AFFECT_SLICE,
    ATTRIBUTES,
    AU_SLICE,
    COEFFICIENTS,
    EXPRESSION_SLICE,
    REACTION,
)
from mreactor_runtime.bundle import MANIFEST, BundleInfo, SessionOptions, open_bundle
from mreactor_runtime.engines.names import CPU, CUDA
from mreactor_runtime.engines.onnxruntime_engine import PROVIDER_OPTIONS
from mreactor_runtime.engines.reference import step_graph
from mreactor_runtime.folders import check_replaceable, write_folder
from mreactor_runtime.tensors import (
    ENCODER,
    GraphSpec,
    TensorSpec,
    graph_specs,
)

PREFIX = "mreactor_"  # a repository holds other people's models too
CONFIG = "config.pbtxt"
VERSION = "1"  # Triton's name for a version is the folder's
MODEL = "model.onnx"
ANY = -1  # Triton's size of a dynamic axis
DATA_TYPES = {"float32": "TYPE_FP32", "int64": "TYPE_INT64", "bool": "TYPE_BOOL"}
KINDS = {CPU: "KIND_CPU", CUDA: "KIND_GPU"}
# The backend's own numbers of ONNX Runtime's levels; where there is none it takes all of them.
LEVELS = {"ORT_ENABLE_BASIC": -1, "ORT_ENABLE_EXTENDED": 1, "ORT_DISABLE_ALL": 2}
EXECUTION_MODES = {"ORT_SEQUENTIAL": 0, "ORT_PARALLEL": 1}
# And of cuDNN's searches: without this one it tries all, and takes what was fastest this time.
SEARCH = "cudnn_conv_algo_search"
SEARCHES = {"EXHAUSTIVE": 0, "HEURISTIC": 1, "DEFAULT": 2}
REACT = f"{PREFIX}reactions"  # the model that runs the loop
PYTHON_MODEL, SETTINGS = "model.py", "reactions.json"
NOISE = ("__init__.py", "errors.py", "noise.py", "signals.py")  # of mreactor_ref, for its noise


def model_config(
    spec: GraphSpec, name: str, device: str = CPU, session: SessionOptions | None = None
) -> str:
    """The text of one graph's config.pbtxt.

    Batching is off (`max_batch_size` 0), so that every axis of the table is spelled: a clip and its
    reactions are two axes that a server cannot batch along one. A scalar has the dims [1]: the
    server takes neither empty dims nor, without batching, an empty reshape, and its backend makes
    a scalar of it (since October 2023).

    Args:
        name: of the model, and of its folder. device: "cpu" or "cuda".
        session: how the bundle says that its graphs are opened.
    """
    session = session or SessionOptions()
    lines = [
        f'name: "{name}"',
        'backend: "onnxruntime"',
        'platform: "onnxruntime_onnx"',
        f'default_model_filename: "{MODEL}"',
        "max_batch_size: 0",
    ]
    for field, tensors in (("input", spec.inputs), ("output", spec.outputs)):
        lines += [line for tensor in tensors for line in _tensor(field, tensor)]
    lines += ["instance_group {", f"  kind: {KINDS[device]}", "  count: 1", "}"]
    provider = dict(PROVIDER_OPTIONS[device])
    parameters = {"execution_mode": EXECUTION_MODES[session.execution_mode]}
    if SEARCH in provider:
        parameters[SEARCH] = SEARCHES[provider.pop(SEARCH)]
    lines += _optimization(LEVELS.get(session.graph_optimization_level), provider)
    for key, value in parameters.items():
        lines += [f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}']
    return "\n".join(lines) + "\n"


def _optimization(level: int | None, provider: Mapping[str, str]) -> list[str]:
    """The level of the graph's optimisation, and options of ONNX Runtime's CUDA provider."""
    inner = [] if level is None else [f"  graph {{ level: {level} }}"]
    if provider:
        options = [f'parameters {{ key: "{k}" value: "{v}" }}' for k, v in provider.items()]
        inner += [
            "  execution_accelerators {",
            f'    gpu_execution_accelerator {{ name: "cuda" {" ".join(options)} }}',
            "  }",
        ]
    return ["optimization {", *inner, "}"] if inner else []


def _tensor(field: str, tensor: TensorSpec) -> list[str]:
    dims = [ANY if isinstance(axis, str) else axis for axis in tensor.axes] or [1]
    return _named(field, tensor.name, DATA_TYPES[tensor.dtype], dims)


def _named(field: str, name: str, kind: str, dims: Sequence[int]) -> list[str]:
    return [
        f"{field} {{",
        f'  name: "{name}"',
        f"  data_type: {kind}",
        f"  dims: [ {', '.join(map(str, dims))} ]",
        "}",
    ]


def reactions_config(encoder: GraphSpec) -> str:
    """The text of config.pbtxt of the model that runs the loop.

    It takes what the encoder takes, a seed, and the id of each clip; both decide the noise. It
    gives the reactions in natural units.
    """
    lines = [f'name: "{REACT}"', 'backend: "python"', "max_batch_size: 0"]
    lines += [line for tensor in encoder.inputs for line in _tensor("input", tensor)]
    lines += _named("input", "seed", "TYPE_INT64", [1])
    lines += _named("input", "clip_id", "TYPE_STRING", [ANY])
    for name, width in (("attributes", ATTRIBUTES), ("coefficients", COEFFICIENTS)):
        lines += _named("output", name, "TYPE_FP32", [ANY, ANY, ANY, width])
    lines += ["instance_group {", "  kind: KIND_CPU", "  count: 1", "}"]
    return "\n".join(lines) + "\n"


def _reactions(info: BundleInfo) -> dict[str, bytes]:
    """The files of that model, by their paths below the repository."""
    specs, solver = graph_specs(info.config), info.defaults
    table, step = solver.table(info.config.train_steps), step_graph(solver.guidance_scale)
    settings = {
        "prefix": PREFIX,
        "encoder": {"inputs": [tensor.name for tensor in specs[ENCODER].inputs]},
        "step": {"graph": step, "inputs": [tensor.name for tensor in specs[step].inputs]},
        "outputs": {name: [tensor.name for tensor in spec.outputs] for name, spec in specs.items()},
        "guidance": solver.guidance_scale,
        "timesteps": table.timesteps.tolist(),
        "rows": table.rows.tolist(),
        "mean": info.reaction_mean,
        "std": info.reaction_std,
        "channels": REACTION,
        "ends": [AU_SLICE.stop, AFFECT_SLICE.stop, EXPRESSION_SLICE.stop, REACTION],
    }
    here, reference = Path(__file__).parent, Path(mreactor_ref.__file__ or "").parent
    version = f"{REACT}/{VERSION}"
    return {
        f"{REACT}/{CONFIG}": reactions_config(specs[ENCODER]).encode(),
        f"{version}/{PYTHON_MODEL}": (here / "triton_model.py").read_bytes(),
        f"{version}/{SETTINGS}": json.dumps(settings, indent=1).encode(),
        **{f"{version}/mreactor_ref/{name}": (reference / name).read_bytes() for name in NOISE},
    }


def write_model_repository(
    files: Mapping[str, bytes], info: BundleInfo, output: Path, *, device: str = CPU
) -> list[str]:
    """Write `mreactor_<graph>/config.pbtxt` and `mreactor_<graph>/1/model.onnx` for each graph, and
    `mreactor_reactions`, which runs the loop over them.

    Args:
        files: the ONNX file of each graph of the table -> content, as exported.
        info: of the bundle; its solver is that of the loop.
        output: the repository; an older one there is replaced, whole.
        device: where the server runs them, "cpu" or "cuda".
    Returns: the names of the models.
    Raises: UsageError where the folder holds something else, cannot be written, or the disk is
        full; ValueError where a graph is missing.
    """
    specs = graph_specs(info.config)
    missing = {f"{graph}.onnx" for graph in specs} - set(files)
    if missing:
        raise ValueError(f"a model repository needs {', '.join(sorted(missing))}")
    check_repository(output)
    written: dict[str, bytes] = {}
    for graph, spec in specs.items():
        name = f"{PREFIX}{graph}"
        written[f"{name}/{CONFIG}"] = model_config(spec, name, device, info.session).encode()
        written[f"{name}/{VERSION}/{MODEL}"] = files[f"{graph}.onnx"]
    write_folder(output, written | _reactions(info))
    return [*(f"{PREFIX}{graph}" for graph in specs), REACT]


def write_bundle_repository(bundle: Path, output: Path, *, device: str = CPU) -> list[str]:
    """`write_model_repository` of a bundle's folder, whose hashes are checked first.

    Raises: also what `open_bundle` and `Bundle.graph` raise.
    """
    opened = open_bundle(bundle)
    info = opened.info
    files = {f"{graph}.onnx": opened.graph(graph) for graph in graph_specs(info.config)}
    return write_model_repository(files, info, output, device=device)


def check_repository(output: Path) -> None:
    """Say now what `write_model_repository` would say later.

    A folder is replaced only where all in it is an older export: other models are never lost.

    Raises: UsageError where it holds something else, or cannot be written.
    """
    if (output / MANIFEST).is_file():
        raise UsageError("is a bundle", output, "give another --output")
    check_replaceable(output, f"{PREFIX}{ENCODER}/{CONFIG}", "model repository of this export")
    foreign = sorted(p.name for p in output.glob("*") if not p.name.startswith(PREFIX))
    if foreign:
        raise UsageError(
            f"holds other models too, {foreign[0]!r} first", output, "give another --output"
        )
