"""Installed versions of the libraries used for judging. Part of keys: another version may judge differently."""

from importlib import metadata

from orchestrator.errors import DataError


def installed(library: str) -> str:
    """The version of a library, given its name on PyPI. Raises DataError if it is not installed."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        raise DataError(f"judging needs the library {library}, which is not installed: pip install {library}") from None
