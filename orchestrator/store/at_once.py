"""Several requests at the same time: a store far away answers them in the time of one.

The threads are daemons, unlike those of an executor: whoever gives up, with Ctrl-C say, does not wait for a server that
hangs.
"""

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TypeVar

_THREADS = 8
_Asked = TypeVar("_Asked")
_Found = TypeVar("_Found")


def at_once(ask: Callable[[_Asked], _Found], questions: Sequence[_Asked]) -> list[_Found]:
    """What `ask` gives for each question, in order; raises what it raises, of the first question that it fails for.

    The first question is asked alone: what a client makes at its first request is then there for all.
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
