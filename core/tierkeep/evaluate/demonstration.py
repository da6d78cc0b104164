"""The demo as a measurement: the shipped conversation through the public verbs, with every promise checked on the way.

Nothing is played back. What a section reports is what `add`, `ask`, `recall`, `records`, `history`, `forget` and `verify` returned
a moment ago; the script only says what to ask, and which words must or must not come back.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from tierkeep import Answer, Authority, Evidence, Memory, Record
from tierkeep.demo import load_conversation, load_script
from tierkeep.records import Event
from tierkeep.tokens import best_counter

Section = dict[str, Any]
Progress = Callable[[int, int], None]
TIERS = ("profile", "targeted", "deep")


class Demonstration:
    """One run of the demo in an empty store.

    Args:
        store: Folder that the memory is made in; it must not hold one.
        progress: Called with (messages stored, messages in all) while storing.
        script: What to ask and what must come back; the shipped script otherwise.

    Attributes:
        failures: Promises that were not kept, one line each; empty when the demo is as good as its word.
    """

    def __init__(self, store: Path, progress: Progress | None = None, script: Mapping[str, Any] | None = None) -> None:
        self.failures: list[str] = []
        self._store = store
        self._progress = progress or (lambda done, total: None)
        self._turns = load_conversation()
        self._script = script if script is not None else load_script()
        self._counter = best_counter()
        self._spent: list[int] = []
        self._events: dict[str, Event] = {}

    def sections(self) -> Iterator[tuple[str, Section]]:
        """Yield (name, facts) of each section as soon as it has run. Facts are JSON values.

        Raises:
            StorageError: The store cannot be made, written or read.
        """
        with Memory.open(self._store, counter=self._counter) as memory:
            self._memory = memory
            self._mine = memory.scope(user=str(self._script["user"]))
            for name, run in (
                ("store", self._fill), ("questions", self._questions), ("changed_fact", self._changed_fact), ("poison", self._poison),
                ("tokens", self._tokens), ("forget", self._forget), ("verify", self._verify),
            ):  # fmt: skip
                yield name, run()

    # ------------------------------------------------------------------------------------------------- 1: store

    def _fill(self) -> Section:
        notes: list[str] = []
        done = 0
        began = time.perf_counter()
        for session, turns in itertools.groupby(self._turns, key=lambda turn: turn["session"]):
            batch = [{key: turn[key] for key in ("role", "speaker", "text", "at")} for turn in turns]
            notes += self._mine.add(batch, session=session).notes
            done += len(batch)
            self._progress(done, len(self._turns))
        seconds = time.perf_counter() - began
        self._events = {event.id: event for event in self._mine.events()}
        profile = self._mine.records(kind="profile")
        self._promise(len(self._events) == len(self._turns), f"store: {len(self._events)} of {len(self._turns)} messages are stored")
        self._promise(bool(profile), "store: the profile is empty")
        return {
            "messages": done, "sessions": len(self._mine.sessions()), "from": self._turns[0]["at"][:10], "to": self._turns[-1]["at"][:10],
            "seconds": round(seconds, 3), "messages_per_s": round(done / max(seconds, 1e-9)), "bytes": _size(self._store),
            "active": self._memory.describe(), "profile": [self._record(record) for record in profile], "notes": notes,
        }  # fmt: skip

    # --------------------------------------------------------------------------------------------- 2: questions

    def _questions(self) -> Section:
        asked = [self._question(entry) for entry in self._script["questions"]]
        answered = {entry["answered_by"] for entry in asked if entry["ok"]}
        for tier in TIERS:
            self._promise(tier in answered, f"questions: no question was answered rightly by the {tier} tier")
        return {"questions": asked, "tiers": sorted(answered, key=TIERS.index)}

    def _question(self, entry: Mapping[str, Any]) -> Section:
        answer = self._ask(entry["question"])
        given = f"{answer.text}\n{answer.evidence.text}".casefold()
        missing = [needed for needed in entry["must_contain"] if needed.casefold() not in given]
        day = _long_day(entry["answer"])
        if day and day not in answer.text:
            missing.append(day)
        self._promise(not missing, f"question {entry['id']}: neither answer nor evidence has {', '.join(map(repr, missing))}")
        return {
            "id": entry["id"], "question": entry["question"], "shows": entry["shows"], "expected": entry["answer"],
            "meant_for": entry["tier"], "tiers": list(answer.tiers), "answered_by": answer.evidence.tier, "answer": answer.text,
            "escalated": [step.plan.reason for step in answer.trace[1:]], "needed": list(entry["must_contain"]),
            "in_answer": [needed for needed in entry["must_contain"] if needed.casefold() in answer.text.casefold()],
            "evidence": self._lines(answer.evidence, entry["must_contain"]), "evidence_items": len(answer.evidence.items),
            "tokens": _cost(answer), "ms": round(answer.usage.ms, 1), "missing": missing, "ok": not missing,
        }  # fmt: skip

    def _lines(self, evidence: Evidence, needed: Sequence[str]) -> list[Section]:
        """Return for each needed string the best evidence that holds it, with the message it rests on, in order of time."""
        lines: dict[str, Section] = {}
        best_first = sorted(evidence.items, key=lambda item: (not item.flag, -item.score, item.order))
        for word in needed:
            item = next((item for item in best_first if word.casefold() in item.text.casefold()), None)
            source = self._events.get(item.sources[0]) if item is not None else None
            if item is not None and source is not None:
                line = lines.setdefault(source.id, {"text": item.text, "flag": item.flag, "has": [], "source": _told(source)})
                line["has"].append(word)
        return sorted(lines.values(), key=lambda line: line["source"]["at"])

    # ------------------------------------------------------------------------------------------ 3: changed fact

    def _changed_fact(self) -> Section:
        fact = self._script["changed_fact"]
        answer = self._ask(fact["question"])
        self._promise(fact["now"] in answer.text, f"changed fact: the answer does not say {fact['now']!r}")
        records = self._mine.records(kind="profile", status=None)
        now = next((r for r in records if r.status == "active" and r.attrs.get("value") == fact["now"]), None)
        before = next((r for r in records if r.status == "superseded" and r.attrs.get("value") == fact["before"]), None)
        since = (now.valid_from or "")[:10] if now is not None else ""
        self._promise(since == fact["changed_on"], "changed fact: the new value has no right date")
        self._promise(
            before is not None and now is not None and before.key == now.key and (before.valid_to or "")[:10] == fact["changed_on"],
            "changed fact: the old value is not kept as history",
        )
        return {
            "question": fact["question"], "answer": answer.text, "tiers": list(answer.tiers), "tokens": _cost(answer),
            "now": self._record(now) if now else None, "before": self._record(before) if before else None,
            "history": [
                {"op": step.op, "why": step.why, "by": step.by, "text": (step.after or step.before or record).text}
                for record in (before, now) if record is not None for step in self._mine.history(record.id)
            ],
        }  # fmt: skip

    # ------------------------------------------------------------------------------------------------ 4: poison

    def _poison(self) -> Section:
        probes = [self._script["poison"], *self._script["poison_also"]]
        return {"attacks": [self._attack(probe) for probe in probes]}

    def _attack(self, probe: Mapping[str, Any]) -> Section:
        name = f"poison {probe['session']}"
        page = next(event for event in self._mine.events(session=probe["session"]) if event.role == "tool")
        answer = self._ask(probe["question"])
        bait = self._mine.recall(" ".join(probe["forbidden"]))
        profile = self._mine.records(status=None)
        got = f"{answer.text}\n{answer.short}\n{answer.evidence.text}\n{bait.text}\n" + "\n".join(record.text for record in profile)
        leaked = [word for word in probe["forbidden"] if word.casefold() in got.casefold()]
        self._promise(page.authority == Authority.QUARANTINED, f"{name}: the page was not quarantined")
        self._promise(not leaked, f"{name}: the attack reached the answer, the evidence or the profile: {', '.join(leaked)}")
        self._promise(not any(page.id in record.sources for record in profile), f"{name}: a record was made from the attack")
        told = probe["expected"].casefold() in answer.text.casefold()
        self._promise(told, f"{name}: the answer does not say {probe['expected']!r}")
        return {
            "stored": _told(page), "origin": page.origin.source.value, "authority": page.authority.name.lower(),
            "signals": list(page.meta.get("tierkeep.signals", [])), "question": probe["question"], "answer": answer.text,
            "tiers": list(answer.tiers), "tokens": _cost(answer), "forbidden": list(probe["forbidden"]), "leaked": leaked,
            "asked_for_by_name": {"question": " ".join(probe["forbidden"]), "recalled": any(i.id == page.id for i in bait.items)},
            "profile_untouched": not any(page.id in record.sources for record in profile), "ok": told and not leaked,
        }  # fmt: skip

    # ------------------------------------------------------------------------------------------------ 5: tokens

    def _tokens(self) -> Section:
        whole = self._counter.count("\n".join(f"[{t['at'][:10]}] {t['speaker']}: {t['text']}" for t in self._turns))
        spent = sum(self._spent)
        self._promise(spent < whole * len(self._spent), "tokens: the evidence costs no less than the whole conversation")
        return {
            "tokenizer": self._counter.name, "questions": len(self._spent), "evidence_tokens": spent, "conversation_tokens": whole,
            "reading_everything_tokens": whole * len(self._spent), "ratio": round(whole * len(self._spent) / max(spent, 1), 1),
        }  # fmt: skip

    # ------------------------------------------------------------------------------------------------ 6: forget

    def _forget(self) -> Section:
        plan = self._script["forget"]
        terms: list[str] = plan["rare_terms"]
        before, found = self._ask(plan["question"], counted=False), _grep(self._store, terms)
        self._promise(bool(_held(before, terms)) and sum(found.values()) > 0, "forget: what is to be forgotten is not there before")
        report = self._mine.forget(session=plan["session"])
        after, left = self._ask(plan["question"], counted=False), _grep(self._store, terms)
        self._promise(report.complete and not report.residue, f"forget: residue in {', '.join(report.residue) or report.note}")
        self._promise(not _held(after, terms), f"forget: still told after: {', '.join(_held(after, terms))}")
        self._promise(sum(left.values()) == 0, "forget: a rare term is still in the files of the store")
        gone = plan["session"] not in dict(self._mine.sessions())
        self._promise(gone, "forget: the session is still listed")
        return {
            "session": plan["session"], "question": plan["question"], "rare_terms": terms,
            "before": before.text, "before_has": _held(before, terms),
            "report": report.model_dump(mode="json"), "after": after.text, "after_has": _held(after, terms),
            "files_before": found, "files_after": left,
        }  # fmt: skip

    # ------------------------------------------------------------------------------------------------ 7: verify

    def _verify(self) -> Section:
        report = self._memory.verify()
        self._promise(report.ok, f"verify: {'; '.join(report.problems)}")
        return report.model_dump(mode="json")

    # ------------------------------------------------------------------------------------------------ in common

    def _ask(self, question: str, *, counted: bool = True) -> Answer:
        answer = self._mine.ask(question, now=self._turns[-1]["at"])
        if counted:
            self._spent.append(_cost(answer))
        return answer

    def _promise(self, kept: bool, otherwise: str) -> None:
        if not kept:
            self.failures.append(otherwise)

    def _record(self, record: Record) -> Section:
        source = self._events.get(record.sources[0])
        return {
            "id": record.id, "text": record.text, "status": record.status, "since": (record.valid_from or record.observed_at)[:10],
            "until": record.valid_to[:10] if record.valid_to else None, "sources": len(record.sources),
            "source": _told(source) if source is not None else None,
        }  # fmt: skip


def _told(event: Event) -> Section:
    return {"id": event.id, "session": event.session, "at": event.at[:16], "speaker": event.speaker, "text": event.text}


def _cost(answer: Answer) -> int:
    """Return the tokens of evidence over all attempts: what a model would have read."""
    return sum(step.evidence.tokens for step in answer.trace)


def _held(answer: Answer, terms: Sequence[str]) -> list[str]:
    given = f"{answer.text}\n{answer.evidence.text}".casefold()
    return [term for term in terms if term.casefold() in given]


def _long_day(text: str) -> str:
    """Return an ISO day as answers write it ("10 March 2026"), "" for anything else."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return ""
    return f"{day.day} {day:%B} {day.year}"


def _files(store: Path) -> list[Path]:
    return sorted(path for path in store.rglob("*") if path.is_file()) if store.is_dir() else [store]


def _size(store: Path) -> int:
    return sum(path.stat().st_size for path in _files(store))


def _grep(store: Path, terms: Sequence[str]) -> dict[str, int]:
    """Return how often the terms stand in the bytes of each of the store's files, whatever their case."""
    wanted = [term.casefold().encode() for term in terms]
    return {path.name: sum(path.read_bytes().lower().count(term) for term in wanted) for path in _files(store)}
