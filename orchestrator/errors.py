"""The errors that users see.

    OrchError                 shown as one line, never as a traceback; exit 1
    |-- InputError            bad input, nothing written; exit 2
    |   |-- RecipeError       an invalid recipe or override
    |   |-- DataError         an unusable data file or split
    |   |-- UntrustedCode     a stored recipe names code that the user has not approved
    |   |-- ModelError        an unusable model name or folder
    |   |-- OutputError       a stage's output in the store has been changed or damaged
    |   `-- TrackingError     the MLflow store cannot be reached or written
    |       `-- RefusalError  the store was reached but rejects the request
    |-- CheckError            a check found a problem that would make the numbers wrong; exit 3
    |   `-- FormatChange      a model is used with a different answer format than it was trained with
    |-- StageError            a stage failed while it ran; exit 1
    `-- Interrupted           Ctrl-C or SIGTERM; exit 130

An error has one or more problems. Each is one line that says what is wrong, where, why, and how to fix it.
"""


class OrchError(Exception):
    """Base class of all errors meant for the user."""

    exit_code = 1

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems: tuple[str, ...] = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class InputError(OrchError):
    """The user's input cannot be used; nothing was started or written."""

    exit_code = 2


class RecipeError(InputError):
    """The recipe, or a command-line override, is invalid."""


class DataError(InputError):
    """A data file or a split cannot be used."""


class UntrustedCode(InputError):
    """A recipe read back from a store names code that does not run without the user's approval."""


class ModelError(InputError):
    """A model name, folder or Hub id cannot be used."""


class TrackingError(InputError):
    """The MLflow store cannot be reached or written."""


class RefusalError(TrackingError):
    """The MLflow store was reached but rejects the request."""


class OutputError(InputError):
    """A stage's output in the store has since been changed, truncated or damaged."""


class CheckError(OrchError):
    """A check found a problem that would make the numbers wrong; nothing was started."""

    exit_code = 3


class FormatChange(CheckError):
    """A model is used with a different answer format than it was trained with."""


class StageError(OrchError):
    """A stage failed while running."""


class Interrupted(OrchError):
    """The user stopped the run."""

    exit_code = 130
