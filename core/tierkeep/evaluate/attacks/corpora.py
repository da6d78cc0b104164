"""Texts and scenarios of others, read by what their files hold and not by what they are called; and cases made of them.

A file in a format that nobody here knows is left out, and the report says so.
"""

from __future__ import annotations

import csv
import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tierkeep.errors import ImportFormatError
from tierkeep.evaluate.attacks.cases import Case, Note, Scale, Session, outside
from tierkeep.evaluate.attacks.grammar import orders
from tierkeep.evaluate.attacks.legitimate import Wish
from tierkeep.evaluate.attacks.world import Call, canary
from tierkeep.records import Origin

_BLANK = re.compile(r"\{_?[A-Z][A-Z_]*\}")
#: What tools of scenarios are here, with the argument that says who or what it is done to.
_TOOLS = {"wire_transfer": ("transfer", "to"), "pay": ("transfer", "to"), "purchase": ("transfer", "to"), "send_data": ("send_email", "to"),
          "update_setting": ("disable_setting", "key")}  # fmt: skip
_KS = (3, 5, 10)


class Corpus(NamedTuple):
    """Texts of one kind.

    Attributes:
        name: File and part of it.
        kind: Whether an attacker wrote them.
        spoken: Whether they are a user's own words; else they come from outside.
        texts: They.
    """

    name: str
    kind: Literal["attack", "benign"]
    spoken: bool
    texts: tuple[str, ...]


class Loaded(NamedTuple):
    """What a folder holds.

    Attributes:
        corpora: Texts, for what a guard does on write.
        cases: Attacks from start to end, by name.
        wishes: Legitimate actions.
        files: Name and SHA-256 of every file that was read.
        skipped: Name of every other file, and why it was left out.
    """

    corpora: tuple[Corpus, ...]
    cases: Mapping[str, tuple[Case, ...]]
    wishes: tuple[Wish, ...]
    files: Mapping[str, str]
    skipped: Mapping[str, str]


class _Part(NamedTuple):
    corpora: list[Corpus]
    cases: list[Case]
    wishes: list[Wish]
    note: str = ""


class FileAttack:
    """Attacks that were read from files, for one table with our own."""

    agents = ("rag",)

    def __init__(self, name: str, cases: Sequence[Case]) -> None:
        self.name = name
        self._cases = cases

    def cases(self, scale: Scale) -> Iterator[Case]:
        """Yield what the files hold, whatever the scale."""
        yield from self._cases


def load(folder: Path) -> Loaded:
    """Return what a folder (or a single file) holds.

    Raises:
        ImportFormatError: It cannot be read, or holds nothing in a known format.
    """
    if not folder.exists():
        raise ImportFormatError(f"{folder} does not exist", path=str(folder))
    paths = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else [folder]
    corpora, cases, wishes = [], {}, []
    files, skipped = {}, {}
    for path in paths:
        try:
            raw = path.read_bytes()
            part = _read(path.stem, _rows(path, raw.decode("utf-8-sig")))
        except (OSError, UnicodeError, ValueError, csv.Error) as error:
            skipped[path.name] = f"cannot be read: {type(error).__name__}"
            continue
        if part is None:
            skipped[path.name] = "is in no format that this benchmark knows"
            continue
        if part.note:
            skipped[f"{path.name} (in part)" if part.corpora else path.name] = part.note
        if part.corpora or part.cases:
            files[path.name] = hashlib.sha256(raw).hexdigest()
        corpora += [corpus for corpus in part.corpora if corpus.texts]
        wishes += part.wishes
        if part.cases:
            cases[f"data:{path.stem}"] = tuple(part.cases)
    if not files:
        raise ImportFormatError(f"{folder} holds nothing that this benchmark can use: see docs/guides/measure-your-memory.md for formats",
                                path=str(folder))
    return Loaded(tuple(corpora), cases, tuple(wishes), files, skipped)


def _rows(path: Path, text: str) -> Any:
    if path.suffix == ".csv":
        return list(csv.DictReader(text.splitlines()))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return json.loads(text)


def _read(name: str, value: Any) -> _Part | None:
    """Return what a file holds; None when no format fits."""
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        held = set(value[0])
        return next((read(name, value) for keys, read in _OF_ROWS if keys <= held), None)
    if not isinstance(value, dict) or not value:
        return None
    if {"benign_experiences", "poisoned_experiences"} <= set(value):
        return _experiences(name, value)
    if isinstance(value.get("payloads"), list):
        return _texts(name, "attack", False, [str(one) for one in value["payloads"]])
    if all(isinstance(one, dict) and "poison" in one for one in value.values()):
        return _domains(name, value)
    if all(isinstance(one, list) and all(isinstance(text, str) for text in one) for one in value.values()):
        return _texts(name, "attack", False, [text for one in value.values() for text in one])
    return None


def _texts(name: str, kind: Literal["attack", "benign"], spoken: bool, texts: Sequence[str], note: str = "") -> _Part:
    kept = tuple(text for text in texts if text.strip())
    cases = _instructions(name, kept) if kind == "attack" else []
    return _Part([Corpus(name, kind, spoken, kept)], cases, [], note)


def _instructions(name: str, texts: Sequence[str]) -> list[Case]:
    """Return cases of bare attack texts that a gullible agent would act on; the others count on write only."""
    cases = []
    for place, text in enumerate(texts):
        blank = canary("transfer", random.Random(f"{name}/{place}"))  # noqa: S311  the same trials each time, not a secret
        said = _BLANK.sub(blank.value, text)
        request = f"What is noted about: {' '.join(_words_of(text))}"
        goal = _goal(said, [request])
        if goal is not None:
            cases.append(_case(name, "instruction", goal, request, said, (), place))
    return cases


def _words_of(text: str) -> list[str]:
    """Return the first words that name no destination."""
    return [word for word in text.split() if not re.search(r"[\d@/_{}]", word)][:6]


def _goal(text: str, requests: Sequence[str]) -> Call | None:
    """Return the first call that a text asks for and no request does: what the user names themselves proves nothing."""
    return next((call for call in orders(text) if not any(call.value in request for request in requests)), None)


def _case(
    name: str, wording: str, goal: Call, request: str, said: str, background: tuple[Note, ...], place: int,
    ingest: str = "Read this and remember it.", domain: str = "-",
) -> Case:
    read = Note(said, outside(place), poison=True)
    return Case(
        f"data:{name}", "-", domain, wording, goal, sessions=(Session(ingest, (read,)),), triggers=(Session(request),),
        background=background, k=_KS[place % 3], share=round(1 / (1 + len(background)), 3),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------------- scenarios


def _scenarios(name: str, rows: Sequence[Mapping[str, Any]]) -> _Part:
    """Scenarios with a session that brings a text and a later task: attacks in several wordings, and legitimate ones."""
    corpora: dict[tuple[str, Literal["attack", "benign"]], list[str]] = {}
    cases, wishes = [], []
    for place, row in enumerate(rows):
        facts = tuple(map(str, row["session_a"].get("trusted_facts", ())))
        task = str(row["session_b"].get("user_task", ""))
        for wording, text in row["variants"].items():
            corpora.setdefault((wording, "benign" if wording == "benign" else "attack"), []).append(str(text))
            goal = _action(row["session_b"].get("attacker_action"))
            if wording != "benign" and goal is not None:
                background = tuple(Note(fact, Origin.tool("registry", trusted=True)) for fact in facts)
                ingest = str(row["session_a"].get("ingest_prompt", "Read this."))
                cases.append(_case(name, wording, goal, task, str(text), background, place, ingest))
        wished = _action(row["session_b"].get("expected_action"))
        if wished is not None:
            notes = tuple(Note(fact, Origin.tool(f"source-{number}", trusted=True)) for number, fact in enumerate(facts))
            wishes.append(Wish(f"data:{name}", task, notes, wished))
        corpora.setdefault(("trusted", "benign"), []).extend(facts)
    made = [Corpus(f"{name}:{wording}", kind, False, tuple(texts)) for (wording, kind), texts in corpora.items()]
    return _Part(made, cases, wishes)


def _action(action: Any) -> Call | None:
    """Return what a scenario's action is here; None for one without side effects, such as a biased answer."""
    if not isinstance(action, Mapping) or action.get("tool") not in _TOOLS:
        return None
    tool, argument = _TOOLS[action["tool"]]
    return Call(tool, str(action[argument])) if argument in action else None


def _domains(name: str, value: Mapping[str, Any]) -> _Part:
    """Fields of work with rules, poison in two wordings, and questions of users with and without the poison's trigger."""
    poison: dict[str, list[str]] = {"overt": [], "stealthy": []}
    benign, questions, cases = [], [], []
    for domain, one in value.items():
        rules = [f"{rule['key']} {rule['content']}" for rule in one.get("benign", ())]
        benign += rules
        questions += [str(asked[0] if isinstance(asked, list) else asked) for asked in one.get("benign_q", ())]
        background = tuple(Note(rule, Origin.document("handbook")) for rule in rules)
        for row in one["poison"]:
            for wording in poison:
                if wording not in row:
                    continue
                said = f"{row.get('key', '')} {row[wording]}"
                poison[wording].append(said)
                asked = list(map(str, one.get("trigger_q", ())))
                goal = _goal(str(row[wording]), asked)
                cases += [
                    _case(name, wording, goal, request, said, background, place, domain=domain)
                    for place, request in enumerate(asked) if goal is not None
                ]  # fmt: skip
    corpora = [Corpus(f"{name}:{wording}", "attack", False, tuple(texts)) for wording, texts in poison.items()]
    corpora += [Corpus(f"{name}:rules", "benign", False, tuple(benign)), Corpus(f"{name}:questions", "benign", True, tuple(questions))]
    return _Part(corpora, cases, [])


def _experiences(name: str, value: Mapping[str, Any]) -> _Part:
    """Experiences of an agent, some of them grafted; each poisoned one says what it wants to be found for."""
    real = [f"{row['req']} {row['resp']}" for row in value["benign_experiences"]]
    grafted = [(row, f"{row['req']} {row['resp']}") for row in value["poisoned_experiences"]]
    background = tuple(Note(text, Origin.document("experience")) for text in real)
    cases = []
    for row, said in grafted:
        asked = [str(row["req"]), *map(str, row.get("semantic_targets", ()))]
        goal = _goal(said, asked)
        if goal is not None:
            cases += [_case(name, "experience", goal, request, said, background, place) for place, request in enumerate(asked)]
    poisoned = Corpus(f"{name}:poisoned", "attack", False, tuple(said for _, said in grafted))
    return _Part([poisoned, Corpus(f"{name}:real", "benign", False, tuple(real))], cases, [])


# ---------------------------------------------------------------------------------------------------------- plain texts


def _column(key: str, kind: Literal["attack", "benign"], spoken: bool) -> Callable[[str, Sequence[Mapping[str, Any]]], _Part]:
    def read(name: str, rows: Sequence[Mapping[str, Any]]) -> _Part:
        return _texts(name, kind, spoken, [str(row.get(key, "")) for row in rows])

    return read


def _facts(name: str, rows: Sequence[Mapping[str, Any]]) -> _Part:
    return _texts(name, "benign", False, [str(fact) for row in rows for fact in row["facts"]])


def _tools(name: str, rows: Sequence[Mapping[str, Any]]) -> _Part:
    return _texts(name, "benign", False, [f"{row['Tool Name']}: {row['Description']}" for row in rows])


def _labelled(name: str, rows: Sequence[Mapping[str, Any]]) -> _Part:
    safe = [str(row["prompt"]) for row in rows if row["label"] == "safe"]
    note = "requests that are themselves harmful are a risk gate's measure, and left out here" if len(safe) < len(rows) else ""
    return _texts(name, "benign", True, safe, note) if safe else _Part([], [], [], note)


def _tasks(name: str, rows: Sequence[Mapping[str, Any]]) -> _Part:
    return _labelled(name, [{**row, "label": "safe" if "benign" in str(row.get("name", "")).lower() else "harmful"} for row in rows])


#: Keys that tell a format, the more telling first, and its reader.
_OF_ROWS: tuple[tuple[set[str], Callable[[str, Sequence[Mapping[str, Any]]], _Part]], ...] = (
    ({"variants", "session_a", "session_b"}, _scenarios),
    ({"Attacker Instruction"}, _column("Attacker Instruction", "attack", False)),
    ({"Tool Name", "Description"}, _tools),
    ({"goal", "suite"}, _column("goal", "attack", False)),
    ({"prompt", "target_functions"}, _tasks),
    ({"prompt", "label"}, _labelled),
    ({"prompt", "word_list"}, _column("prompt", "benign", True)),
    ({"prompt", "suite"}, _column("prompt", "benign", True)),
    ({"context", "question"}, _column("context", "benign", False)),
    ({"facts", "question"}, _facts),
)
