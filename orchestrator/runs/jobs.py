"""Ray's Jobs API: submit a command to a cluster, follow its output, stop it. The cluster needs `ray[default]`.

The job continues when its submitter disconnects.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import InputError, OrchError

EXCLUDED = ("mlruns/", ".git/", ".venv/", "venv/", "__pycache__/", "node_modules/")
"""Folders that are not uploaded."""

_NOT_YET = "No available agent"
"""The error of a cluster that has only just started."""
_PATIENCE = 20.0
"""Seconds that such a cluster is given to accept a job."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job has ended."""

    status: str
    """SUCCEEDED, FAILED or STOPPED."""
    exit_code: int | None
    """The command's exit code; None if it was stopped or never started."""
    message: str


class Jobs:
    """The jobs of the cluster whose dashboard is at this address."""

    def __init__(self, address: str) -> None:
        """Raises InputError if no Jobs API responds there."""
        import logging

        from ray.dashboard.modules.job.sdk import JobSubmissionClient

        for name in ("dashboard.modules.dashboard_sdk", "dashboard.modules.job.sdk", "_private.runtime_env.packaging"):
            logging.getLogger(f"ray.{name}").setLevel(logging.ERROR)  # they log the upload in their own format
        self.address = address
        try:
            self._client: Any = JobSubmissionClient(address)
        except Exception as error:  # anything that its HTTP client may raise
            raise InputError(f"no Ray Jobs API answers at {address}: {_said(error)}") from None

    def submit(self, command: str, folder: Path, env: Mapping[str, str]) -> str:
        """Upload a folder, run the command in it, and return the job's id.

        Raises:
            InputError: the folder is too large to upload, or the cluster refuses it.
        """
        environment = {"working_dir": str(folder), "excludes": list(EXCLUDED), "env_vars": dict(env)}
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                return str(self._client.submit_job(entrypoint=command, runtime_env=environment))
            except Exception as error:
                if _NOT_YET not in str(error) or time.monotonic() > end:
                    raise InputError(f"the cluster at {self.address} does not accept the job: {_said(error)}") from None
            time.sleep(2)

    def follow(self, job: str, show: Callable[[str], None]) -> None:
        """Show a job's output until it ends.

        Raises:
            OrchError: the connection is lost; the job continues.
        """
        try:
            asyncio.run(self._follow(job, show))
        except (RuntimeError, OSError) as error:
            raise OrchError(f"job {job} can no longer be followed, but may still be running: {_said(error)}") from None

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
        """Stop a job; its finished stages are kept in the store."""
        self._client.stop_job(job)


def _said(error: Exception) -> str:
    """The first line of an error."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
