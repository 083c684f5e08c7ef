"""Errors that are for people: what was wrong, in which file, what to do."""

from __future__ import annotations

from os import PathLike


class MReactorError(Exception):
    """A failure that the user can act on. Commands print it as one line, without a traceback.

    Args:
        problem: what was wrong, with the numbers in it.
        path: the file or folder it was wrong in.
        fix: what to do about it.
    """

    exit_code = 1

    def __init__(
        self, problem: str, path: str | PathLike[str] | None = None, fix: str | None = None
    ):
        self.problem, self.path, self.fix = problem, path, fix
        where = f"{path}: " if path is not None else ""
        todo = f" ({fix})" if fix else ""
        super().__init__(f"{where}{problem}{todo}")


class UsageError(MReactorError):
    """A request that cannot be met: a wrong option, an unknown model, an empty input folder."""

    exit_code = 2


class ClipError(MReactorError):
    """One clip cannot be read. The run goes on with the others."""

    exit_code = 3


class ClipWarning(UserWarning):
    """Something about a clip that should be known, where nobody else is there to be told."""


class IntegrityError(MReactorError):
    """An artefact is not what its manifest says it is."""

    exit_code = 5
