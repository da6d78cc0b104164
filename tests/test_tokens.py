"""Counting tokens."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from tierkeep import tokens
from tierkeep.tokens import EstimateCounter


@pytest.mark.parametrize("text", ["", "a", "tea time", "12:30", "\u8336", "\ud800", "x" * 100_000])
def test_an_estimate_is_at_least_one_for_any_text(text: str) -> None:
    assert EstimateCounter().count(text) >= (1 if text else 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_can_load_a_vocabulary_though_another_thread_was_loading_one() -> None:
    loading, done = threading.Event(), threading.Event()

    def load() -> None:
        with tokens._LOAD_LOCK:
            loading.set()
            done.wait(0.2)

    other = threading.Thread(target=load)
    other.start()
    assert loading.wait(30)
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a child that waits for ever is killed, and its parent says so
        with tokens._LOAD_LOCK:
            os._exit(0)
    other.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with tokens._LOAD_LOCK:
        done.set()
