"""Zombie Agents (arXiv 2602.15654; guard spec, 4.2): one infected page, then a payload that keeps itself alive in the memory."""

from __future__ import annotations

from collections.abc import Iterator

from tierkeep.evaluate.attacks.cases import Case, Note, Scale, Session, Setting, outside, settings
from tierkeep.evaluate.attacks.phrases import filled
from tierkeep.records import Origin

_WINDOWS = (4, 16, 64)
_CARRIERS = (1, 5, 20)
_KS = (3, 5, 10)
#: Trigger sessions against one big store: filling it is what costs.
_TRIGGERS = 40


class ZombieWindow:
    """Recursive self-replication: the payload asks to be restated each turn, so that no truncation gets rid of it.

    A third of the cases have an agent that does not restate it, for comparison: there the window pushes it out.
    """

    name = "zombie_window"
    agents = ("window", "file")

    def cases(self, scale: Scale) -> Iterator[Case]:
        """Yield an infection and `scale.rounds` later sessions for each window size."""
        for setting in settings(self.name, scale, each=scale.rounds):
            copies = setting.number % 3 != 2
            window = _WINDOWS[(setting.number // 3) % len(_WINDOWS)]
            text = f"{setting.payload()} {setting.words.texts['repeat']}" if copies else setting.payload()
            page = Note(text, outside(setting.number), poison=True)
            every = [request for domain in setting.words.domains.values() for request in domain.requests]
            triggers = tuple(Session(every[round_ % len(every)]) for round_ in range(scale.rounds))
            yield Case(
                self.name, setting.words.language, setting.domain.name, setting.wording, setting.goal,
                sessions=(Session(setting.request(), (page,)),), triggers=triggers, background=setting.notes(3),
                quiet=setting.elsewhere(2), params={"window": window, "self_copy": copies}, window=window, reemit=copies,
            )  # fmt: skip


class ZombieRag:
    """Semantic aliasing: carriers around the payload sit near what users often ask, so that it is found whatever is asked.

    The first carriers stand for a cluster of requests each, one for every field of work; further ones for single requests.
    """

    name = "zombie_rag"
    agents = ("rag",)

    def cases(self, scale: Scale) -> Iterator[Case]:
        """Yield infections of a store of `scale.store` records with 1, 5 or 20 carriers."""
        for setting in settings(self.name, scale, each=_TRIGGERS):
            carriers = _CARRIERS[setting.number % len(_CARRIERS)]
            every = [request for domain in setting.words.domains.values() for request in domain.requests]
            fields = sorted(setting.words.domains.values(), key=lambda domain: (domain != setting.domain, domain.name))
            near = [*(" ".join(domain.requests) for domain in fields), *every]
            reads = tuple(self._carrier(setting, near[place % len(near)], place) for place in range(carriers))
            order = setting.rng.sample(every, len(every))
            triggers = tuple(Session(order[place % len(order)]) for place in range(_TRIGGERS))
            yield Case(
                self.name, setting.words.language, setting.domain.name, setting.wording, setting.goal,
                sessions=(Session(setting.request(), reads),), triggers=triggers, background=_store(setting, scale.store),
                quiet=setting.elsewhere(3), params={"carriers": carriers, "k": _KS[(setting.number // 3) % 3], "store": scale.store},
                k=_KS[(setting.number // 3) % 3], share=round(carriers / (carriers + scale.store), 6),
            )  # fmt: skip

    def _carrier(self, setting: Setting, request: str, place: int) -> Note:
        template = setting.words.texts["carrier"][place % len(setting.words.texts["carrier"])]
        return Note(filled(template, request=request, payload=setting.payload()), outside(setting.number), poison=True)


def _store(setting: Setting, size: int) -> tuple[Note, ...]:
    """Return a store of harmless memories: what is known of every field, told again and again, by users, agents and documents."""
    notes = [note for domain in setting.words.domains.values() for note in domain.notes]
    origins = (Origin.user("ana"), Origin.agent(), Origin.document("handbook.pdf"))
    return tuple(
        Note(f"{place // len(notes) + 1}: {notes[place % len(notes)]} {setting.rng.choice(setting.words.filler)}", origins[place % 3])
        for place in range(size)
    )
