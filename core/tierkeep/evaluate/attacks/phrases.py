"""The texts that attacks are made of, in five languages, all written by us: `wording/*.json`."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

LANGUAGES = ("en", "de", "es", "fr", "zh")
WORDINGS = ("overt", "stealthy")


class Domain(NamedTuple):
    """A field of work: what is known about it, what a user asks about it, and what an attacker would have done in it."""

    name: str
    tool: str
    notes: tuple[str, ...]
    requests: tuple[str, ...]


class Phrases(NamedTuple):
    """One language's texts. Placeholders are filled with `filled`.

    Attributes:
        language: Its code.
        domains: Fields of work, by name.
        payloads: Orders, by tool and wording; each names `{value}`.
        filler: Sentences about nothing in particular.
        texts: Everything else, by name.
    """

    language: str
    domains: Mapping[str, Domain]
    payloads: Mapping[str, Mapping[str, Sequence[str]]]
    filler: tuple[str, ...]
    texts: Mapping[str, Any]

    def payload(self, tool: str, wording: str, value: str, rng: random.Random) -> str:
        """Return an order to do something to `value`."""
        return filled(rng.choice(list(self.payloads[tool][wording])), value=value)

    def padding(self, chars: int, rng: random.Random) -> str:
        """Return harmless sentences of just this length."""
        made = ""
        while len(made) < chars:
            made += ("" if not made else " ") + rng.choice(self.filler)
        return made[:chars]


def filled(template: str, **values: str) -> str:
    """Return a template with its placeholders filled; other braces stay."""
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value)
    return template


@functools.cache
def phrases(language: str) -> Phrases:
    """Return the texts of one of `LANGUAGES`."""
    file = resources.files("tierkeep.evaluate.attacks") / "wording" / f"{language}.json"
    raw = json.loads(file.read_text(encoding="utf-8"))
    domains = {name: Domain(name, one["tool"], tuple(one["notes"]), tuple(one["requests"])) for name, one in raw.pop("domains").items()}
    return Phrases(language, domains, raw.pop("payloads"), tuple(raw.pop("filler")), raw)
