"""What can go wrong, as the user sees it.

    OrchError                 one line to the user, never a traceback; exit 1
    |-- InputError            bad input, nothing was written; exit 2
    |   |-- RecipeError       the recipe or an override
    |   |-- DataError         a data file or a split
    |   |-- UntrustedCode     code that a stored recipe names, and that nobody has vouched for
    |   |-- ModelError        a model name or folder
    |   |-- OutputError       what a stage has left in the store is not what it was any more
    |   `-- TrackingError     the MLflow store cannot be reached or written
    |       `-- RefusalError  the store was reached and does not take what it is given
    |-- CheckError            a check found what would make the numbers wrong; exit 3
    |   `-- FormatChange      a model is used under another answer format than it was trained with
    |-- StageError            a stage failed while it ran; exit 1
    `-- Interrupted           Ctrl-C or SIGTERM; exit 130

An error carries one or more problems; each is one line that says what, where, why and how to fix it.
"""


class OrchError(Exception):
    """Base of every error that is meant for the user."""

    exit_code = 1

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems: tuple[str, ...] = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class InputError(OrchError):
    """Something the user gave cannot be used; nothing was started or written."""

    exit_code = 2


class RecipeError(InputError):
    """The recipe, or an override on the command line, is not valid."""


class DataError(InputError):
    """A data file or a split cannot be used."""


class UntrustedCode(InputError):
    """A recipe that was read back from a store names code that is not run without the user's word."""


class ModelError(InputError):
    """A model name, folder or Hub id cannot be used."""


class TrackingError(InputError):
    """The MLflow store cannot be reached or written."""


class RefusalError(TrackingError):
    """The MLflow store was reached, and does not take what it is given."""


class OutputError(InputError):
    """What a stage has left in the store was changed, cut off or damaged since."""


class CheckError(OrchError):
    """A check found what would make the numbers wrong; nothing was started."""

    exit_code = 3


class FormatChange(CheckError):
    """A model is used under another answer format than it was trained with."""


class StageError(OrchError):
    """A stage failed while it ran."""


class Interrupted(OrchError):
    """The user stopped the run."""

    exit_code = 130
