"""Several requests at the same time: a remote store answers them in the time of one.

The threads are daemons, unlike those of an executor: a user who gives up, say with Ctrl-C, does not wait for a hanging
server.
"""

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TypeVar

_THREADS = 8
_Asked = TypeVar("_Asked")
_Found = TypeVar("_Found")


def at_once(ask: Callable[[_Asked], _Found], questions: Sequence[_Asked]) -> list[_Found]:
    """The result of `ask` for each question, in order; raises the error of the first question that fails.

    The first question is asked alone, so that what a client sets up on its first request is ready for all.
    """
    if not questions:
        return []
    found: dict[int, _Found] = {0: ask(questions[0])}
    failed: dict[int, BaseException] = {}
    todo, done = iter(range(1, len(questions))), SimpleQueue[None]()
    taking = threading.Lock()

    def work() -> None:
        while not failed:
            with taking:
                place = next(todo, None)
            if place is None:
                break
            try:
                found[place] = ask(questions[place])
            except BaseException as error:
                failed[place] = error
        done.put(None)

    threads = min(_THREADS, len(questions) - 1)
    for _ in range(threads):
        threading.Thread(target=work, name="store request", daemon=True).start()
    for _ in range(threads):
        done.get()
    if failed:
        raise failed[min(failed)]
    return [found[place] for place in range(len(questions))]
