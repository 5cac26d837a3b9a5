"""Concurrent requests: their results, and what waits for what."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from orchestrator.store.at_once import at_once


def test_answers_come_in_the_order_of_the_questions() -> None:
    assert at_once(lambda n: n * n, range(50)) == [n * n for n in range(50)]
    assert at_once(str, []) == []


def test_after_the_first_they_are_asked_at_the_same_time() -> None:
    together, alone = threading.Barrier(3), []

    def ask(n: int) -> int:
        if n == 0:
            alone.append(threading.current_thread() is threading.main_thread())
        else:
            together.wait(timeout=60)
        return n

    assert at_once(ask, range(4)) == [0, 1, 2, 3] and alone == [True]


def test_an_error_is_raised_and_ends_the_asking() -> None:
    asked = []

    def ask(n: int) -> None:
        asked.append(n)
        if n == 5:
            raise KeyError(n)
        time.sleep(0.01)

    with pytest.raises(KeyError, match="5"):
        at_once(ask, range(1000))
    assert len(asked) < 100


def test_a_process_that_gives_up_does_not_wait_for_a_server_that_hangs() -> None:
    code = """
import signal, threading
from orchestrator.store.at_once import at_once
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where these tests do not heed Ctrl-C
hangs = threading.Event()
def ask(n):
    if n == 1: print("asked", flush=True)
    if n: hangs.wait(600)
at_once(ask, range(3))
"""
    here = [sys.executable, "-c", code]
    with subprocess.Popen(here, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"asked\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) != 0
        finally:
            process.kill()
