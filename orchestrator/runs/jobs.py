"""Ray's Jobs API: hand a command to a cluster, read what it prints, stop it. The cluster needs `ray[default]`.

The job goes on without whoever submitted it.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import InputError, OrchError

EXCLUDED = ("mlruns/", ".git/", ".venv/", "venv/", "__pycache__/", "node_modules/")
"""Folders that are not sent along."""

_NOT_YET = "No available agent"
"""What a cluster says that has only just started."""
_PATIENCE = 20.0
"""Seconds that it is given to take a job."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job has come to its end."""

    status: str
    """SUCCEEDED, FAILED or STOPPED."""
    exit_code: int | None
    """Of the command; None where it has none, as it was stopped or never started."""
    message: str


class Jobs:
    """The jobs of the cluster whose dashboard is at an address."""

    def __init__(self, address: str) -> None:
        """Raises InputError where no Jobs API answers there."""
        import logging

        from ray.dashboard.modules.job.sdk import JobSubmissionClient

        for name in ("dashboard.modules.dashboard_sdk", "dashboard.modules.job.sdk", "_private.runtime_env.packaging"):
            logging.getLogger(f"ray.{name}").setLevel(logging.ERROR)  # they tell of the upload in their own words
        self.address = address
        try:
            self._client: Any = JobSubmissionClient(address)
        except Exception as error:  # whatever its HTTP client raises
            raise InputError(f"no Ray Jobs API answers at {address}: {_said(error)}") from None

    def submit(self, command: str, folder: Path, env: Mapping[str, str]) -> str:
        """Send a folder, and have the command run in it; the job's id.

        Raises:
            InputError: the folder is too large to be sent, or the cluster refuses it.
        """
        environment = {"working_dir": str(folder), "excludes": list(EXCLUDED), "env_vars": dict(env)}
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                return str(self._client.submit_job(entrypoint=command, runtime_env=environment))
            except Exception as error:
                if _NOT_YET not in str(error) or time.monotonic() > end:
                    raise InputError(f"the cluster at {self.address} does not take the job: {_said(error)}") from None
            time.sleep(2)

    def follow(self, job: str, show: Callable[[str], None]) -> None:
        """Show what a job prints until it ends.

        Raises:
            OrchError: the connection is lost; the job goes on.
        """
        try:
            asyncio.run(self._follow(job, show))
        except (RuntimeError, OSError) as error:
            raise OrchError(f"job {job} can no longer be followed, and may go on: {_said(error)}") from None

    async def _follow(self, job: str, show: Callable[[str], None]) -> None:
        async for lines in self._client.tail_job_logs(job):
            show(lines)

    def ended(self, job: str) -> Ended | None:
        """How a job has ended; None while it runs."""
        info = self._client.get_job_info(job)
        if not info.status.is_terminal():
            return None
        return Ended(str(info.status), info.driver_exit_code, (info.message or "").strip())

    def stop(self, job: str) -> None:
        """Have a job stopped; what it has finished is kept in the store."""
        self._client.stop_job(job)


def _said(error: Exception) -> str:
    """The first line of what went wrong."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
