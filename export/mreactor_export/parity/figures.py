"""One comparison and how it ends: a figure, the errors it may raise, and the report of them all."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from torch import Tensor

from mreactor_export.to_onnx import ExportError

FLOAT64, ITSELF = "float64", "itself"  # what a figure is held against, beside "float32"
STEP, LAYER, TRAJECTORY = "step", "layer", "trajectory"
ROWS, EQUAL, PADDING, METRIC = "rows", "equal rows", "padding", "metric"
RANDOM = "random"  # features that no clip gave
COMMAND = "mreactor-export --verify BUNDLE"


def verify_command(bundle: Path, model: str | Path | None = None, thorough: bool = False) -> str:
    """The command of a report; `model` where it is not the one that the bundle names."""
    words = ["mreactor-export", "--verify", str(bundle)]
    words += [] if model is None else ["--model", str(model)]
    return shlex.join([*words, *(["--thorough"] if thorough else [])])


class ParityError(ExportError):
    """An engine that does not compute what the reference computes.

    Attributes:
        report: all figures that were taken, where the proof came to its end.
    """

    report: Report | None = None


class RunError(ParityError):
    """An engine that cannot run a graph at sizes that the table allows."""


class NamesError(ParityError):
    """A graph whose inputs or outputs have other names than the table's."""


class AxesError(ParityError):
    """A tensor with another number of axes, or another size of an axis that is fixed."""


class ShapesError(ParityError):
    """A tensor whose free axes are not as long as those of the inputs."""


class DtypesError(ParityError):
    """A tensor of another type than the table's."""


class ValuesError(ParityError):
    """Numbers that are farther from those expected than their bound."""


class MetricsError(ValuesError):
    """Reactions that score otherwise than those of the reference."""


FAULTS = (RunError, NamesError, AxesError, ShapesError, DtypesError)  # in the order of the checks


@dataclass(frozen=True)
class Deviation:
    """How far two tensors are apart: the largest difference, and L2 of all over L2 of the norm."""

    maximum: float
    relative: float


@dataclass(frozen=True)
class FigureLabel:
    """The label of a figure: the engine, the check, and its case.

    Attributes:
        engine: the candidate's name.
        check: STEP, LAYER, TRAJECTORY, ROWS, EQUAL, PADDING or METRIC.
        what: the graph, the part of it, the steps and the solver, or the measure.
        clips, reactions, frames: the sizes. guidance: None where the graph has none.
        features: RANDOM, or the id of the clip that gave them.
    """

    engine: str
    check: str
    what: str
    clips: int
    reactions: int
    frames: int
    guidance: float | None = None
    features: str = RANDOM

    @property
    def size(self) -> str:
        return f"{self.clips}x{self.reactions}x{self.frames}"

    @property
    def row(self) -> str:
        """The row of the table that it belongs to."""
        if self.check == LAYER:
            graph, _, part = self.what.partition(" ")
            return ".".join((graph, *part.split(".")[1:2]))
        return self.what if self.check in (TRAJECTORY, METRIC) else f"{self.check} {self.what}"


@dataclass(frozen=True)
class Figure(FigureLabel):
    """One comparison: what, at which sizes, how far apart, and how far it may be.

    Attributes:
        errors: FLOAT64, "float32" or ITSELF -> deviation.
        bound: of the relative errors.
        fault: why there is nothing to compare.
    """

    errors: Mapping[str, Deviation] = field(default_factory=dict)
    bound: float = 0.0
    fault: ParityError | None = None

    @property
    def maximum(self) -> float:
        """The largest absolute error; NaN where one is, or where there is none."""
        return _largest(error.maximum for error in self.errors.values())

    @property
    def relative(self) -> float:
        """The largest of the relative errors; NaN where one is, or where there is none."""
        return _largest(error.relative for error in self.errors.values())

    @property
    def passed(self) -> bool:
        return self.fault is None and self.relative <= self.bound  # false for NaN

    @property
    def excess(self) -> float:
        """The error in bounds; infinite for NaN, which no number compares to."""
        return math.inf if math.isnan(self.relative) else self.relative / self.bound

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which has no NaN: there it is null."""
        return {
            **{one.name: getattr(self, one.name) for one in fields(FigureLabel)},
            "errors": {
                against: {"maximum": _number(e.maximum), "relative": _number(e.relative)}
                for against, e in self.errors.items()
            },
            "bound": self.bound,
            "passed": self.passed,
            "fault": None if self.fault is None else str(self.fault),
        }


@dataclass(frozen=True)
class Curve:
    """The relative L2 error of the clean sample at each step of a trajectory, against float64."""

    label: FigureLabel
    errors: tuple[float, ...]
    bound: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "engine": self.label.engine,
            "what": self.label.what,
            "size": self.label.size,
            "guidance": self.label.guidance,
            "features": self.label.features,
            "errors": [_number(error) for error in self.errors],
            "bound": self.bound,
        }


@dataclass(frozen=True)
class Report:
    """Every figure of a proof, in the order they were taken.

    Attributes:
        dtype: of the graphs. engines: the names of the candidates.
        thorough: whether the whole product of cases was run.
        curves: of the trajectories. notes: lines about what was left out, or done in its place.
        command: reproduces the figures.
    """

    dtype: str
    engines: tuple[str, ...]
    thorough: bool
    figures: tuple[Figure, ...]
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()
    command: str = COMMAND

    @property
    def failed(self) -> tuple[Figure, ...]:
        return tuple(figure for figure in self.figures if not figure.passed)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "dtype": self.dtype,
            "engines": list(self.engines),
            "thorough": self.thorough,
            "passed": not self.failed,
            "command": self.command,
            "notes": list(self.notes),
            "figures": [figure.to_dict() for figure in self.figures],
            "curves": [curve.to_dict() for curve in self.curves],
        }

    def check(self) -> None:
        """Raises: the ParityError of the first kind of failure, in the order of the checks."""
        if not self.failed:
            return
        error = _failure(self.failed, len(self.figures))
        error.report = self
        raise error


@dataclass(frozen=True)
class Row:
    """The figures of one engine about one thing. `worst` is the farthest in bounds."""

    engine: str
    name: str
    figures: tuple[Figure, ...]

    @property
    def worst(self) -> Figure:
        return max(self.figures, key=lambda figure: (figure.fault is not None, figure.excess))


def rows(report: Report) -> list[Row]:
    """The figures by engine, and by what they are of, in the order they were taken."""
    groups: dict[tuple[str, str, str], list[Figure]] = {}
    for figure in report.figures:
        groups.setdefault((figure.engine, figure.check, figure.row), []).append(figure)
    return [Row(engine, name, tuple(figures)) for (engine, _, name), figures in groups.items()]


def compare(found: Tensor, expected: Tensor) -> Deviation:
    """Largest absolute and relative L2 error of two tensors of one shape, in float64."""
    error = found.double() - expected.double()
    size = expected.double().norm().item()
    relative = error.norm().item() / (size or 1.0)
    return Deviation(error.abs().max().item(), relative)


def compare_all(
    label: FigureLabel, bound: float, pairs: Callable[[], Iterable[tuple[str, Tensor, Tensor]]]
) -> Figure:
    """The figure of some pairs of tensors: (against, found, expected), each pair of one shape.

    The worst deviation from each reference counts. A ParityError that `pairs` raises becomes the
    figure's fault.
    """
    worst: dict[str, Deviation] = {}
    try:
        for against, found, expected in pairs():
            one, other = compare(found, expected), worst.get(against, Deviation(0.0, 0.0))
            worst[against] = Deviation(
                _largest((other.maximum, one.maximum)), _largest((other.relative, one.relative))
            )
    except ParityError as fault:
        return Figure(**vars(label), bound=bound, fault=fault)
    return Figure(**vars(label), errors=worst, bound=bound)


def _largest(numbers: Iterable[float]) -> float:
    """The largest number, or NaN where there is one, or none at all: `max` may lose it."""
    values = list(numbers)
    return math.nan if not values or any(map(math.isnan, values)) else max(values)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _failure(failed: tuple[Figure, ...], count: int) -> ParityError:
    faults = [figure.fault for figure in failed if figure.fault is not None]
    for kind in FAULTS:
        if first := next((fault for fault in faults if isinstance(fault, kind)), None):
            return kind(f"{first.problem}; {len(failed)} of {count} figures failed")
    worst = max(failed, key=lambda figure: figure.excess)
    kind = MetricsError if all(figure.check == METRIC for figure in failed) else ValuesError
    scale = "" if worst.guidance is None else f", guidance {worst.guidance:g}"
    return kind(
        f"{len(failed)} of {count} figures are over their bound; the worst is {worst.engine}'s "
        f"{worst.check} {worst.what} with {worst.clips} clips, {worst.reactions} reactions, "
        f"{worst.frames} frames{scale}: relative error {worst.relative:.1e}, "
        f"bound {worst.bound:.0e}"
    )
