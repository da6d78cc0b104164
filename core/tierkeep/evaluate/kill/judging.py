"""The oracle: which states a store may be in after a kill, and what it is when it is in none of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tierkeep.evaluate.kill.states import State, content_of, digest, missing

__all__ = ["Finding", "Recording", "findings", "judged", "unfinished"]


class Recording:
    """What an undisturbed run went through: the state at its begin, and after each thing that it acknowledged.

    Args:
        states: One more than there are acknowledgements.
        said: The acknowledgements: "c" for a commit, "s" for the end of a step.
        whole: Of each step, whether it takes place whole or not at all.

    Raises:
        RuntimeError: A step changed nothing, so that killing it would show nothing.
    """

    def __init__(self, states: Sequence[State], said: str, whole: Sequence[bool]) -> None:
        self.states = list(states)
        self.said = said
        self.digests = [digest(state) for state in self.states]
        self._ends = [0, *(place + 1 for place, what in enumerate(said) if what == "s")]
        for step, (begin, end) in enumerate(zip(self._ends, self._ends[1:], strict=False)):
            if len(set(self.digests[begin : end + 1])) == 1:
                raise RuntimeError(f"step {step} of {len(whole)} changes nothing, so that killing it shows nothing")
        self._fair = [True] * len(self.states)
        for step, (begin, end) in enumerate(zip(self._ends, self._ends[1:], strict=False)):
            for place in range(begin + 1, end) if whole[step] else ():
                self._fair[place] = self.digests[place] in (self.digests[begin], self.digests[end])

    def allowed(self, acknowledged: int) -> list[int]:
        """Return the places of the states that a store may be in: all that was acknowledged, and at most the one thing that was not.

        A client that outlives its server may acknowledge more than an undisturbed one: what failed behind a write is done with a later
        one. At the end it must have come to the same.
        """
        acknowledged = min(acknowledged, len(self.states) - 1)
        after = [place for place in (acknowledged, acknowledged + 1) if place < len(self.states) and self._fair[place]]
        return after or [max(place for place in self._ends if place <= acknowledged), min(p for p in self._ends if p > acknowledged)]

    def steps_done(self, state: State, acknowledged: int) -> int:
        """Return how many steps are behind a store in one of the allowed states, as somebody finds who looks at it."""
        done = self.said[:acknowledged].count("s")
        end = self._ends[done + 1] if done + 1 < len(self._ends) else -1
        return done + (self.digests[end] == digest(state))


class Finding(NamedTuple):
    """What is wrong with one store.

    Attributes:
        what: "lost", "unopenable", "verify_failed", "differs" or "unfinished".
        detail: For who looks into it.
    """

    what: str
    detail: str


def judged(recording: Recording, acknowledged: int, found: State) -> Finding | None:
    """Compare a store with what it may be after a kill; None when it is that.

    Args:
        recording: Of the undisturbed run.
        acknowledged: How many things were acknowledged before the kill.
        found: What the store holds.
    """
    places = recording.allowed(acknowledged)
    now = digest(found)
    if now in {recording.digests[place] for place in places}:
        return None
    gone = missing(found, *(recording.states[place] for place in places))
    if now in recording.digests[: places[0]] or gone:
        return Finding("lost", "; ".join(gone[:3]) or "the store is as it was before something that was acknowledged")
    return Finding("differs", "; ".join(unlike(found, recording.states[places[-1]])[:3]))


def findings(recording: Recording, acknowledged: int, seen: Mapping[str, Any]) -> list[Finding]:
    """Return all that is wrong with a store.

    Args:
        recording: Of the undisturbed run.
        acknowledged: How many things were acknowledged before the kill.
        seen: What `tierkeep.evaluate.kill.running.examine` saw.
    """
    if "unopenable" in seen:
        return [Finding("unopenable", seen["unopenable"])]
    found = [Finding("verify_failed", seen["problems"][0])] if seen["problems"] else []
    if (wrong := judged(recording, acknowledged, seen["state"])) is not None:
        found.append(wrong)
    if "stopped" in seen:
        found.append(Finding("unfinished", seen["stopped"]))
    elif (other := unfinished(recording, seen["finished"])) is not None:
        found.append(other)
    return found


def unfinished(recording: Recording, found: State) -> Finding | None:
    """Compare a store after the path was run again to its end with what an undisturbed run leaves; None when they mean the same."""
    wanted, there = content_of(recording.states[-1]), content_of(found)
    return None if wanted == there else Finding("unfinished", "; ".join(unlike(there, wanted)[:3]))


def unlike(found: Any, wanted: Any, where: str = "") -> list[str]:
    """Return where two states differ, as short texts."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        names = sorted({*found, *wanted})
        return [text for name in names for text in unlike(found.get(name), wanted.get(name), f"{where}/{name}")]
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        return [text for place, pair in enumerate(zip(found, wanted, strict=True)) for text in unlike(*pair, f"{where}/{place}")]
    if found == wanted:
        return []
    return [f"{where}: {_short(found, wanted)} instead of {_short(wanted, found)}"]


def _short(value: object, other: object) -> str:
    if isinstance(value, list) and isinstance(other, list):
        return f"{len(value)} entries, such as {[one for one in value if one not in other][:2]}"[:300]
    return repr(value)[:160]
