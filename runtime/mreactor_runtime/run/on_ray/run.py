"""One run over the machines of a Ray cluster, with one manifest, as one process makes it.

    run_on_ray(Path("clips"), Path("reactions"), open_run, RayOptions("auto"))

Ray Data streams chunks of clips over a pool of actors. Each clip is done wholly by one of them, by
the loop of a run in one process, so its bytes are the same; only its lines come here. A clip that
cannot be done is a line from there like any other. Where a worker dies, its clips are done again;
one over which worker after worker has died fails by name.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from mreactor_ref.data.clips import BadClip, ClipFiles
from mreactor_ref.data.inputs import Inputs, listed
from mreactor_ref.errors import UsageError
from mreactor_ref.files import check_writable
from mreactor_runtime.engines.names import AUTO, CUDA
from mreactor_runtime.run.events import ENDED, FINISHED, RAISED, Joined
from mreactor_runtime.run.ferry import packed
from mreactor_runtime.run.job import Job
from mreactor_runtime.run.lock import only_run
from mreactor_runtime.run.on_ray.copies import drop_folders
from mreactor_runtime.run.on_ray.options import RayOptions
from mreactor_runtime.run.on_ray.outbox import DONE
from mreactor_runtime.run.on_ray.pool import Pool, ray_pool
from mreactor_runtime.run.on_ray.worker import RayTask
from mreactor_runtime.run.options import Options
from mreactor_runtime.run.results import TooManyFailed
from mreactor_runtime.run.shard import WHOLE
from mreactor_runtime.run.stage import staged
from mreactor_runtime.run.stores import Mirrors, is_of_one_process
from mreactor_runtime.run.summary import Progress, Silent, Summary
from mreactor_runtime.run.worker import OpenRun

CHUNKS_A_WORKER = 4  # at least, so that all end at about the same time
Clips = Sequence[ClipFiles | BadClip]
LARGEST_CHUNK = {False: 16, True: 64}  # clips that are done again with a worker; on CUDA or not


def run_on_ray(
    input: Inputs,
    output: str | Path,
    open_run: OpenRun,
    ray: RayOptions,
    options: Options | None = None,
    progress: Progress | None = None,
    device: str = AUTO,
) -> Summary:
    """`run_job` by the workers of a Ray cluster.

    Args:
        input, output: in folders that all machines have under the same names, or at URLs.
        open_run: as of `run_on_devices`; called on each machine.
        device: of the workers; AUTO is CUDA where the cluster has GPUs.
    Raises:
        UsageError: as `run_job`; or Ray is not there, or its machines make different bytes.
        KeyboardInterrupt: what workers had done is kept; clips that they were at are dropped.
    """
    options, inputs = options or Options(), listed(input)
    for place in filter(is_of_one_process, (*inputs, output)):
        raise UsageError(
            "is in the memory of one process, where the workers of a cluster do not see it",
            place,
            "give a folder or a URL that all of them see",
        )
    with staged(inputs, output, progress or Silent()) as stage:
        mirrors = stage.mirrors
        clips = stage.clips()
        check_writable(mirrors.output)
        with (
            only_run(mirrors.output, options.shard or WHOLE),
            ray_pool(ray, device, options.debug) as pool,
        ):
            task = RayTask(
                *(Path(os.getcwd()), input, clips.folders, output, mirrors.folder),
                *(replace(options, max_errors=None), open_run, pool.device, pool.threads),
            )
            on_ray = OnRay(pool, task, mirrors)
            plan = pool.plan(task)
            job = Job(clips, mirrors.output, plan, options, stage, on_ray, stage.is_whole)
            try:
                return stage.run(job)
            finally:
                if mirrors.all:
                    pool.everywhere(drop_folders, mirrors.folder)


@dataclass(frozen=True)
class OnRay:
    """Does the clips of a job by a pool."""

    pool: Pool
    task: RayTask
    mirrors: Mirrors

    def __call__(self, job: Job, clips: Clips) -> None:
        left = {clip.id: clip for clip in clips}
        share = -(-len(clips) // (self.pool.count * CHUNKS_A_WORKER))
        size = max(1, min(LARGEST_CHUNK[self.pool.device == CUDA], share))
        workers: dict[str, Summary] = {}
        try:
            self._pass(job, left, _chunks(clips, size), workers)
            self._pass(job, left, _chunks([*left.values()], 1), workers)  # of workers that died
        finally:
            joined = Joined(job.progress, job.summary)
            for name, summary in sorted(workers.items()):
                joined.ended(name, summary)

    def _pass(
        self,
        job: Job,
        left: dict[str, ClipFiles | BadClip],
        chunks: Sequence[Clips],
        workers: dict[str, Summary],
    ) -> None:
        """Do chunks of clips; those that are done go out of `left`. Raises TooManyFailed."""
        if not chunks:
            return
        joined = Joined(job.progress, job.summary)
        parcels = [[packed(clip, self.mirrors) for clip in chunk] for chunk in chunks]
        with closing(self.pool.events(self.task, job.plan, parcels)) as events:
            for kind, value in events:
                if kind == DONE:
                    if left.pop(value.line["id"], None) is None:
                        continue  # of a worker that died, and of the next: the same
                    job.records.add(value.line)
                    if value.failure is not None:
                        job.records.add_failure(value.failure)
                    joined.tell(FINISHED, value.outcome)
                    if job.max_errors is not None and len(job.summary.failed) > job.max_errors:
                        raise TooManyFailed
                elif kind == RAISED:
                    raise value
                elif kind == ENDED:
                    name, summary = value
                    workers[name] = summary
                else:
                    joined.tell(kind, value)


def _chunks(clips: Clips, size: int) -> list[Clips]:
    return [clips[first : first + size] for first in range(0, len(clips), size)]
