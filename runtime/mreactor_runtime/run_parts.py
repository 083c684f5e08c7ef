"""The parts of a run by its options: the reactor, what is written beside results, what explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mreactor_ref.emotion.options import RecoveryOptions
from mreactor_runtime.reactor_options import ReactorOptions

if TYPE_CHECKING:
    from mreactor_runtime.reactor import Reactor
    from mreactor_runtime.run.extras import Extra
    from mreactor_runtime.run.reading import Explain


@dataclass(frozen=True)
class RunParts:
    """What a run is made of, opened in each process that does some of it; it is pickled.

    Attributes:
        reacting: the model, and how it samples.
        recovery: how priors are found.
        formats: forms that are written beside each npz.
        plot: whether a picture is drawn beside it.
        explain_priors: whether it is written how the priors came about.
    """

    reacting: ReactorOptions
    recovery: RecoveryOptions
    formats: tuple[str, ...] = ()
    plot: bool = False
    explain_priors: bool = False

    def __call__(
        self, device: str, threads: int | None
    ) -> tuple[Reactor, list[Extra], Explain | None]:
        """The parts on a device, with so many CPU threads.

        Raises:
            UsageError: there is no such model or engine, or they do not fit; or a package that an
                option needs is not there.
        """
        from mreactor_ref.emotion.options import open_recovery
        from mreactor_runtime.convert.during_run import other_forms
        from mreactor_runtime.run.extras import picture
        from mreactor_runtime.run.job import explain_with

        extras: list[Extra] = []
        if self.plot:
            from mreactor_runtime.report.timeline import plot_timeline, require_matplotlib

            require_matplotlib()
            extras.append(picture(plot_timeline))
        source = open_recovery(self.recovery)
        reactor = self.reacting.open(device, threads, source)
        if self.formats:
            extras.append(other_forms(self.formats, reactor))
        return reactor, extras, explain_with(source) if self.explain_priors else None
