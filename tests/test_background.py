"""The thread behind derivers and embedders: what is gathered, what ends a pause, and that closing ends it."""

from __future__ import annotations

import threading

from tierkeep.background import Background
from tierkeep.records import Scope

ANA, BO = Scope(user="ana"), Scope(user="bo")


def test_what_comes_within_the_pause_is_worked_on_once() -> None:
    worked: list[str] = []
    background = Background("gathers", lambda scope: worked.append(scope.user), gather_s=600)
    for scope in (ANA, BO, ANA, ANA):
        background.enqueue(scope)
    assert worked == []
    assert background.wait(30)  # who waits ends the pause
    assert sorted(worked) == ["ana", "bo"]
    background.enqueue(BO)
    assert background.wait(30)
    assert sorted(worked) == ["ana", "bo", "bo"]
    background.close()


def test_closing_ends_the_pause_and_leaves_the_rest() -> None:
    worked: list[str] = []
    background = Background("gathers", lambda scope: worked.append(scope.user), gather_s=600)
    background.enqueue(ANA)
    background.close()
    assert worked == [] and not background.wait(0)


def test_closing_without_work_ends_the_thread() -> None:
    background = Background("gathers", lambda scope: None, gather_s=600)
    background.enqueue(ANA)
    assert background.wait(30)
    background.close()
    assert not any(thread.name == "gathers" and thread.is_alive() for thread in threading.enumerate())


def test_what_is_noticed_during_the_work_is_worked_on_again() -> None:
    begun, go, worked = threading.Event(), threading.Event(), []

    def work(scope: Scope) -> None:
        worked.append(scope.user)
        begun.set()
        assert go.wait(30)

    background = Background("again", work)
    background.enqueue(ANA)
    assert begun.wait(30)
    background.enqueue(ANA)
    go.set()
    assert background.wait(30)
    assert worked == ["ana", "ana"]
    background.close()


def test_who_is_named_without_end_is_worked_on_all_the_same() -> None:
    worked = threading.Event()
    background = Background("put off", lambda scope: worked.set(), gather_s=0.01)
    while not worked.wait(0.001):
        background.enqueue(ANA)
    background.close()
