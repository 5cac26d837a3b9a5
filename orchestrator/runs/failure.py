"""One-line error messages for people."""

from orchestrator.errors import OrchError

_DIED = ("WorkerCrashedError", "OutOfMemoryError", "NodeDiedError", "ActorDiedError", "ActorUnavailableError")
"""Ray's errors for a lost worker."""


def one_line(error: BaseException) -> str:
    """An error in one line for a person: the worker's own error, without Ray's wrapping."""
    cause = getattr(error, "cause", None) or error
    if type(cause).__name__ in _DIED:
        return "its worker process died: out of memory, or killed; lower batch_size, or give it more memory"
    if isinstance(cause, OrchError):
        return str(cause)
    lines = [line for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1] if lines else ''}"[:1000]
