"""A pool of workers in a Ray cluster, over which Ray Data streams clips."""

from __future__ import annotations

import contextlib
import logging
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from mreactor_ref.errors import UsageError
from mreactor_runtime.engines.names import AUTO, CPU, CUDA
from mreactor_runtime.run.events import Event
from mreactor_runtime.run.ferry import Parcel
from mreactor_runtime.run.on_ray.options import LOCAL, RayOptions
from mreactor_runtime.run.on_ray.tries import Tries
from mreactor_runtime.run.on_ray.worker import RayTask, RayWorker, plan_there
from mreactor_runtime.run.plan import Plan
from mreactor_runtime.run.worker import variables

CPUS_A_WORKER = 4  # where it is left to us
EVERYWHERE_SECONDS = 60.0  # that a machine has to answer, when the run has ended
# Ray counts its users unless told not to; its own logs are in its folder of the session.
QUIET_RAY = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}


@dataclass(frozen=True)
class Pool:
    """Workers, and what each of them has.

    Attributes:
        count: of workers.
        device: "cpu" or "cuda", what their engines run on.
    """

    count: int
    num_cpus: int
    num_gpus: float
    device: str

    @property
    def threads(self) -> int | None:
        """Of an engine; None is its own choice."""
        return self.num_cpus if self.device == CPU else None

    def plan(self, task: RayTask) -> Plan:
        """The plan of a run, made by one of the machines that do it. Raises what opening raises."""
        import ray

        one = ray.remote(num_cpus=self.num_cpus, num_gpus=self.num_gpus, max_calls=1)(plan_there)
        plan = ray.get(one.remote(task))
        if isinstance(plan, Exception):
            raise plan
        return plan

    def everywhere(self, do: Callable[[Path], None], path: Path) -> None:
        """Do something on each machine of the cluster that answers in time."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
        one = ray.remote(num_cpus=0, max_retries=0)(do)
        told = [
            one.options(scheduling_strategy=On(node, soft=False)).remote(path) for node in nodes
        ]
        ray.wait(told, num_returns=len(told), timeout=EVERYWHERE_SECONDS)

    def events(
        self, task: RayTask, plan: Plan, chunks: Sequence[Sequence[Parcel]]
    ) -> Generator[Event]:
        """What the workers say, as it comes, while they do all clips.

        Where a worker dies, its chunk is left out but for what was said of it, unless it is of one
        clip: that is done again by another worker, MOST_TRIES times in all, and then fails.
        """
        import ray
        import ray.data

        rows = [{"clips": pickle.dumps(parcels)} for parcels in chunks]
        tries = ray.remote(num_cpus=0)(Tries).remote()
        events = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            RayWorker,
            fn_constructor_args=(task, plan, tries, self.count),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=self.count),
            num_cpus=self.num_cpus,
            num_gpus=self.num_gpus,
        )
        for batch in events.iter_batches(batch_size=None, prefetch_batches=0):
            for row in batch["events"]:
                yield from pickle.loads(row)


@contextlib.contextmanager
def ray_pool(options: RayOptions, device: str = AUTO, debug: bool = False) -> Generator[Pool]:
    """A pool in a cluster, which is left, or ended if it was started here, when the block ends.

    Raises:
        UsageError: Ray is not installed, there is no cluster, or it has no room for the workers.
    """
    with contextlib.redirect_stdout(sys.stderr):  # Ray says there what has died
        ray = _ray(debug)
        started = not ray.is_initialized()
        if started:
            _start(ray, options.address, debug)
        try:
            yield pool_of(ray.cluster_resources(), options, device)
        finally:
            if started:
                ray.shutdown()


def pool_of(resources: Mapping[str, float], options: RayOptions, device: str = AUTO) -> Pool:
    """The pool that fits into a cluster's CPUs and GPUs.

    Raises:
        UsageError: it has no room for as many, or no GPU where one is asked for.
    """
    cpus, gpus = int(resources.get("CPU", 0)), resources.get("GPU", 0.0)
    usual_gpus = 1 if device == CUDA or (device == AUTO and gpus) else 0
    num_gpus = usual_gpus if options.num_gpus is None or device == CPU else options.num_gpus
    usual = int(gpus // num_gpus) if num_gpus else -(-cpus // CPUS_A_WORKER)
    count = options.concurrency or (cpus // options.num_cpus if options.num_cpus else usual)
    num_cpus = options.num_cpus or max(1, min(CPUS_A_WORKER, cpus // max(count, 1)))
    if options.concurrency is None and num_gpus:
        count = min(count, usual)
    if count < 1 or count * num_cpus > cpus or count * num_gpus > gpus:
        raise UsageError(
            f"the cluster has {cpus} CPUs and {gpus:g} GPUs: no room for {max(count, 1)} workers "
            f"of {num_cpus} and {num_gpus:g}",
            fix="see --ray-concurrency, --ray-num-cpus and --ray-num-gpus",
        )
    return Pool(count, num_cpus, num_gpus, CUDA if num_gpus else CPU)


def _ray(debug: bool) -> Any:
    """The package, with nothing to say of its own unless asked."""
    try:
        ray = import_module("ray")
        import_module("ray.data")
    except ImportError:
        raise UsageError("Ray is not installed", fix='pip install "mreactor[ray]"') from None
    if not debug:
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    return ray


def _start(ray: Any, address: str, debug: bool) -> None:
    """Connect to a cluster, or start one. Raises UsageError."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    here = {"include_dashboard": False} if address == LOCAL else {}
    level = logging.WARNING if debug else logging.CRITICAL
    try:
        with variables({} if debug else QUIET_RAY):
            ray.init(address, log_to_driver=debug, logging_level=level, **here)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        problem = f"no Ray cluster can be reached at {address}: {error}"
        raise UsageError(problem, fix="ray start --head starts one") from None
    finally:
        if main and before is not None:
            signal.signal(signal.SIGTERM, before)  # Ray takes it for itself
    settings = ray.data.DataContext.get_current()
    settings.enable_progress_bars = settings.print_on_execution_start = False
    settings.target_max_block_size = 1  # bytes: each row comes at once
