"""All attacks, by name (guard spec, 4.3)."""

from __future__ import annotations

from collections.abc import Sequence

from tierkeep.errors import InputError
from tierkeep.evaluate.attacks.cases import Attack
from tierkeep.evaluate.attacks.crafted import Compositional, JudgeInjection, LessonPoison, Majority, PolicyWording
from tierkeep.evaluate.attacks.disguises import Obfuscation
from tierkeep.evaluate.attacks.laundering import Corroborated, Echoed, Summarised
from tierkeep.evaluate.attacks.poisoning import AgentPoison, InjecMem, MemoryGraft, Minja
from tierkeep.evaluate.attacks.zombie import ZombieRag, ZombieWindow

ATTACKS: tuple[Attack, ...] = (
    ZombieWindow(), ZombieRag(), AgentPoison(), Minja(), InjecMem(), MemoryGraft(), Summarised(), Echoed(), Corroborated(), Compositional(),
    PolicyWording(), Majority(), JudgeInjection(), LessonPoison(), Obfuscation(),
)  # fmt: skip
NAMES = tuple(attack.name for attack in ATTACKS)


def chosen(what: str, wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the wanted names in the order of the known ones; all of them when none is wanted.

    Args:
        what: What they are, for the message.
        wanted: Names; each may hold several with commas between.
        known: Every name there is.

    Raises:
        InputError: A name is not known.
    """
    names = [name for part in wanted for one in part.split(",") if (name := one.strip())]
    for name in names:
        if name not in known:
            raise InputError(f"there is no {what} {name!r}: choose of {', '.join(known)}", field=what)
    return [name for name in known if name in names or not names]
