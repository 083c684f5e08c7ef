"""One run on several devices: a process each, that does a shard, and their manifests together.

    run_on_devices(Path("clips"), Path("reactions"), ["0", "1"], open_run)

A process sees no other CUDA device than its own. On CPUs ("cpu,cpu") the threads are shared out. A
result is the same as of one process, and a run that was killed goes on with any other devices.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mreactor_ref.data.clips import find_clips
from mreactor_ref.data.inputs import Inputs
from mreactor_ref.errors import UsageError
from mreactor_ref.files import check_writable
from mreactor_runtime.engines.names import CPU, CUDA
from mreactor_runtime.run.lock import only_run
from mreactor_runtime.run.manifest import collect
from mreactor_runtime.run.options import Options
from mreactor_runtime.run.outputs import read_json, write_json
from mreactor_runtime.run.shard import (
    ERRORS,
    MANIFEST,
    RUN,
    WHOLE,
    Shard,
    errors_path,
    manifest_path,
    run_path,
    shard_files,
)
from mreactor_runtime.run.summary import Progress, Silent, Summary
from mreactor_runtime.run.worker import OpenRun, Task, Worker, end, follow

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Device:
    """Where a process runs.

    Attributes:
        name: for people. device: "cpu" or "cuda". threads: of its engine on the CPU.
        environment: variables that it has of its own.
    """

    name: str
    device: str
    threads: int | None
    environment: Mapping[str, str]


def devices_of(names: Sequence[str], threads: int | None = None) -> list[Device]:
    """The devices by name: numbers of CUDA devices, or "cpu" once for each process.

    Args: threads: on the CPU, of all processes together; None is one a core.
    Raises: UsageError where one does not exist, or they are of two kinds.
    """
    if not names:
        raise UsageError("no device is named", fix="--devices 0,1 or --devices cpu,cpu")
    wrong = [name for name in names if name != CPU and not (name.isascii() and name.isdigit())]
    if wrong:
        raise UsageError(
            f"device {wrong[0]!r} is neither cpu nor the number of a CUDA device",
            fix="--devices 0,1 or --devices cpu,cpu",
        )
    share = max(1, (threads or len(os.sched_getaffinity(0))) // len(names))
    variables = {"OMP_NUM_THREADS": str(share)}
    if all(name == CPU for name in names):
        return [Device(f"cpu {i}", CPU, share, variables) for i, _ in enumerate(names, 1)]
    if CPU in names:
        raise UsageError(
            "devices are CUDA and CPU, whose results are not the same to the last bit",
            fix="name devices of one kind",
        )
    visible = _visible_devices()
    for name in names:
        if int(name) >= len(visible):
            there = f"0 to {len(visible) - 1}" if len(visible) > 1 else "0"
            raise UsageError(
                f"device {name} does not exist: "
                + (f"there is {there}" if visible else "torch sees no CUDA device here"),
                fix=f"--devices {','.join(map(str, range(len(visible))))}"
                if visible
                else "--devices cpu,cpu",
            )
    return [Device(f"cuda {n}", CUDA, None, {**variables, VISIBLE: visible[int(n)]}) for n in names]


def _visible_devices() -> list[str]:
    """The value of CUDA_VISIBLE_DEVICES for each device that torch sees."""
    import torch

    count = torch.cuda.device_count()
    names = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return names[:count] if names else [str(i) for i in range(count)]


def run_on_devices(
    input: Inputs,
    output: Path,
    devices: Sequence[str],
    open_run: OpenRun,
    options: Options | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
) -> Summary:
    """`run_job` in a process for each device.

    Args:
        devices: as `devices_of` takes them, with `threads`.
        open_run: opens the reactor, and what writes beside results and explains, in a process; a
            function of a module, or a `partial` of one.
    Raises:
        UsageError: a device that does not exist, no clips, or what a process raises.
        MReactorError: a process was killed; what the others did is kept.
        KeyboardInterrupt: the processes have ended, and what they did is kept.
    """
    output, options = Path(output), options or Options()
    places = devices_of(devices, threads)
    whole = options.shard or WHOLE
    clips = find_clips(input).clips
    check_writable(output)
    summary = Summary(output, len(whole.of(clips)))
    options = replace(options, max_errors=options.most_failed(summary.clips))
    workers: list[Worker] = []
    started = time.perf_counter()
    with only_run(output, whole):
        if (run := read_json(run_path(output, whole))) is not None:
            write_json(run_path(output, whole), run | {"finished": False})
        try:
            for place, shard in zip(places, whole.split(len(places)), strict=True):
                of_shard = replace(options, shard=shard)
                task = Task(input, output, of_shard, open_run, place.device, place.threads)
                workers.append(Worker(task, place.name, place.environment, len(shard.of(clips))))
            follow(workers, progress or Silent(), summary, options.most_failed(summary.clips))
        finally:
            end(workers)
            summary.seconds = time.perf_counter() - started
            _merge(output, whole, workers, summary)
    for worker in workers:
        if worker.error is not None and not summary.stopped:
            raise worker.error
    return summary


def _merge(output: Path, whole: Shard, workers: Sequence[Worker], summary: Summary) -> None:
    """Make one manifest and one run file of those of the processes.

    Not before each of them has begun: until then some of what was done before is only in the
    older manifest.
    """
    if any(worker.to_do is None for worker in workers):
        return
    shards = [worker.shard for worker in workers]
    run = read_json(run_path(output, shards[0])) or {}
    arguments = run.get("arguments", {}) | {"shard": None if whole == WHOLE else str(whole)}
    finished = summary.stopped or all(worker.summary is not None for worker in workers)
    run |= {"arguments": arguments, "finished": finished} | summary.to_dict()
    collect(manifest_path(output, whole), [manifest_path(output, shard) for shard in shards])
    errors_path(output, whole).unlink(missing_ok=True)  # of an older run
    if errors := [path for shard in shards if (path := errors_path(output, shard)).is_file()]:
        collect(errors_path(output, whole), errors)
    write_json(run_path(output, whole), run)
    kinds = manifest_path, run_path, errors_path
    parts = {path_of(output, shard) for shard in shards for path_of in kinds}
    if whole == WHOLE:
        parts |= {path for name in (MANIFEST, RUN, ERRORS) for path in shard_files(output, name)}
    for path in parts - {path_of(output, whole) for path_of in kinds}:
        path.unlink(missing_ok=True)
