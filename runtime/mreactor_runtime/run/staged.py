"""A run of one process whose clips or results lie at URLs: the job of a folder, with a ferry."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mreactor_ref.data.clips import BadClip, ClipFiles
from mreactor_ref.data.reading import open_hearing
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.run.extras import Extra
from mreactor_runtime.run.ferry import Ferry
from mreactor_runtime.run.job import InProcess, Job
from mreactor_runtime.run.lock import only_run
from mreactor_runtime.run.options import Options
from mreactor_runtime.run.plan import plan_run
from mreactor_runtime.run.reading import Explain
from mreactor_runtime.run.stage import staged
from mreactor_runtime.run.summary import Progress, Silent, Summary


def run_staged(
    inputs: Sequence[str],
    output: str | Path,
    reactor: Reactor,
    options: Options | None = None,
    progress: Progress | None = None,
    extras: Sequence[Extra] = (),
    explain: Explain | None = None,
) -> Summary:
    """`run_job` where inputs, or the output, are folders at URLs.

    A run goes on where one has ended, as of a folder; a result that is there counts as whole. No
    lock holds another machine off: shards have files of their own, two runs of one do not.

    Raises: as `run_job`; and what a store raises that cannot be reached any more.
    """
    options = options or Options()
    with staged(inputs, output, progress or Silent()) as stage:
        mirrors = stage.mirrors
        clips = stage.clips()
        plan = plan_run(inputs, reactor, options, extras, explain)
        ferry = Ferry(mirrors, plan.beside, stage)
        hear = open_hearing(options.reading, reactor.engine.device.type)
        in_process = InProcess(reactor, extras, explain, hear)

        def do(job: Job, clips: Sequence[ClipFiles | BadClip]) -> None:
            in_process(job, ferry.fetching(clips))

        job = Job(clips, mirrors.output, plan, options, ferry, do, stage.is_whole)
        with only_run(mirrors.output, job.shard):
            return stage.run(job)
