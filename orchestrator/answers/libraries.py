"""The installed versions of the libraries that judge: another version may give other verdicts, so keys hold them."""

from importlib import metadata

from orchestrator.errors import DataError


def installed(library: str) -> str:
    """The version of a library, by its name on PyPI. Raises DataError where it is not installed."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        raise DataError(f"the library {library} judges here and is not installed: pip install {library}") from None
