"""Counting tokens."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep import tokens
from tierkeep.protocols import LineCounter
from tierkeep.tokens import EstimateCounter, TiktokenCounter, find_vocabulary


@pytest.mark.parametrize("text", ["", "a", "tea time", "12:30", "\u8336", "\ud800", "x" * 100_000])
def test_an_estimate_is_at_least_one_for_any_text(text: str) -> None:
    assert EstimateCounter().count(text) >= (1 if text else 0)


_COUNTERS = [TiktokenCounter(name) for name in ("o200k_base", "cl100k_base") if find_vocabulary(name)]
#: What the vocabularies' patterns tell apart: white space of several kinds, slashes, marks, digits, letters, and what is no text.
_SIGNS = "\n\r\t \u00a0\u2028\u3000/.,'!(<[-_ab\u00e9S12\u8336\u3042\U0001f600\u200d\ud800"


@pytest.mark.skipif(not _COUNTERS, reason="no vocabulary on this machine")
@given(lines=st.lists(st.text(_SIGNS, max_size=8) | st.text(max_size=12), max_size=6))
def test_lines_count_as_much_one_by_one_as_together(lines: list[str]) -> None:
    for counter in _COUNTERS:
        assert isinstance(counter, LineCounter)
        assert counter.count_lines(lines) == counter.count("\n".join(lines))


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
