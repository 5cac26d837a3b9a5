"""What a result depends on besides the recipe: package versions and the git commit of the surrounding code."""

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "orch-rft",
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "ray",
    "mlflow",
    "numpy",
    "pyarrow",
    "scipy",
    "vllm",
)


@cache
def versions() -> dict[str, str]:
    """Installed versions of the packages that matter, and of Python."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def git_commit() -> str | None:
    """The commit of the current folder's repository, with `-dirty` if tracked files differ from it."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True)
        status = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.stdout.strip() + ("-dirty" if status.stdout.strip() else "")
