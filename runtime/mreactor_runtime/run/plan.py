"""The plan of a run: what its record, its lines and its files will be, before any clip is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mreactor_ref.data.inputs import Inputs
from mreactor_ref.data.reading import check_faces
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.run.extras import PRIORS, Extra
from mreactor_runtime.run.manifest import Line
from mreactor_runtime.run.options import Options
from mreactor_runtime.run.reading import Explain
from mreactor_runtime.run.run_json import Record, describe, fingerprint


@dataclass(frozen=True)
class Plan:
    """What whoever does a run must agree on; it is pickled.

    Attributes:
        record: of run.json, before it starts.
        seed: of the sampling.
        notes: of the reactor, for people.
        beside: suffixes of the files that each result has beside it.
    """

    record: Record
    seed: int
    notes: tuple[str, ...]
    beside: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.record)

    @property
    def head(self) -> Line:
        """The fields that every line of the manifest has."""
        return {"seed": self.seed, "run": self.fingerprint}


def plan_run(
    input: Inputs,
    reactor: Reactor,
    options: Options,
    extras: Sequence[Extra] = (),
    explain: Explain | None = None,
) -> Plan:
    """The plan of a run with a reactor.

    Raises:
        UsageError: an option is out of range, or the judge of expressions is not to be had.
    """
    sampling = options.sampling or reactor.sampling
    sampling.solver.table(reactor.config.train_steps)  # or it is out of range
    check_faces(options.reading)
    beside = [suffix for extra in extras for suffix in extra.suffixes]
    beside += [PRIORS] * (explain is not None)
    record = describe(input, reactor, sampling, options)
    return Plan(record, sampling.seed, tuple(reactor.notes), tuple(beside))
