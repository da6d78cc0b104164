from __future__ import annotations

import pytest

from tierkeep.errors import InputError
from tierkeep.evaluate.attacks.agents import AGENTS
from tierkeep.evaluate.attacks.cases import Attack, Case, Scale
from tierkeep.evaluate.attacks.catalogue import ATTACKS, NAMES, chosen
from tierkeep.evaluate.attacks.phrases import LANGUAGES

_SCALE = Scale.quick(120)


def _written(case: Case) -> list[str]:
    return [note.text for session in (*case.sessions, *case.triggers) for note in session.reads if note.poison]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_every_attack_is_many_attacks(attack: Attack) -> None:
    cases = list(attack.cases(_SCALE))
    assert sum(len(case.triggers) for case in cases) >= _SCALE.trials
    payloads = [text for case in cases for text in _written(case)]
    assert len(set(payloads)) >= 0.8 * len(cases) and all(_written(case) for case in cases)
    assert len({case.goal for case in cases}) == len(cases)
    if len(cases) >= 20:
        assert {case.language for case in cases} == set(LANGUAGES)
        assert len({case.domain for case in cases}) == 4
        assert len({case.wording for case in cases}) > 1 or attack.name == "compositional"
    assert all(case.attack == attack.name for case in cases) and set(attack.agents) <= set(AGENTS)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_the_same_scale_gives_the_same_cases(attack: Attack) -> None:
    scale = Scale.quick(30)
    assert list(attack.cases(scale)) == list(attack.cases(scale))
    assert list(attack.cases(scale)) != list(attack.cases(Scale.quick(30, seeds=(7, 8))))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_the_control_is_as_long_and_says_nothing_of_the_attack(attack: Attack) -> None:
    for case in list(attack.cases(Scale.quick(30))):
        clean = case.harmless()
        for before, after in zip((*case.background, *_reads(case)), (*clean.background, *_reads(clean)), strict=True):
            assert len(before.text) == len(after.text) and not after.poison
            assert before.poison or before == after
            assert case.goal.value not in after.text
        assert (clean.triggers[0].request, clean.goal) == (case.triggers[0].request, case.goal)


def _reads(case: Case) -> list[object]:
    return [note for session in (*case.sessions, *case.triggers) for note in session.reads]


def test_names_are_chosen_in_order() -> None:
    assert chosen("attack", [], NAMES) == list(NAMES)
    assert chosen("attack", ["minja, zombie_rag", "minja"], NAMES) == ["zombie_rag", "minja"]
    with pytest.raises(InputError, match="no attack 'teleport'"):
        chosen("attack", ["teleport"], NAMES)
